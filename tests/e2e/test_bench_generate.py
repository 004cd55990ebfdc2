"""`attune bench generate` on a random checkpoint: the engine twice, as if it were its own peer."""

import json
import sys

import pytest

from services.cli.bench.generate.cases import Case
from services.cli.bench.generate.command import GenerateBench, bench_generate
from services.cli.errors import UserError

CASES = (Case("one", 2, 8, 1, 1, new_tokens=4), Case("group", 1, 40, 3, 1, new_tokens=4))
AGAIN = f"again={sys.executable} -m services.policy.bench.contestant"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_all_contestants_are_measured_in_each_case(tmp_path, capsys, dtype):
    path = tmp_path / "figures.json"
    bench_generate(GenerateBench("5m", dtype, (AGAIN,), 2, 1, path), CASES)
    figures = json.loads(path.read_text())
    assert 5e6 < figures["parameters"] < 6e6
    assert set(figures["cases"]) == {"one", "group"}
    for case in figures["cases"].values():
        assert set(case["tokens_per_s"]) == {"attune", "again"}
        assert all(len(seconds) == 2 for seconds in case["seconds"].values())
        assert case["ratio"] > 0
        assert case["of_roofline"] > 0
        assert case["first_token_p99_ms"]["attune"] > 0
    assert "roofline" in capsys.readouterr().out


def test_a_peer_that_ends_says_why(tmp_path):
    failing = f"broken={sys.executable} -c 'raise SystemExit(\"no such model\")'"
    with pytest.raises(UserError, match="broken ended without a result") as raised:
        bench_generate(GenerateBench("5m", "float32", (failing,), 1, 1, None), CASES)
    assert "no such model" in str(raised.value.hint)


def test_a_peer_needs_a_name_and_a_command():
    with pytest.raises(UserError, match="is not NAME=COMMAND"):
        bench_generate(GenerateBench("5m", "float32", ("vllm",), 1, 1, None))
