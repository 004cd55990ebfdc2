"""`attune bench generate` and `images` on random checkpoints: the engine twice, as its own peer."""

import json
import shlex
import sys

import pytest

from services.cli.bench.generate.cases import Answers, Pictures
from services.cli.bench.generate.command import GenerateBench, bench_generate, bench_images
from services.cli.errors import UserError

CASES = (
    Answers("one", 2, 8, 1, 1, new_tokens=4),
    Answers("group", 1, 40, 3, 1, new_tokens=4),
)
AGAIN = f"again={sys.executable} -m services.policy.bench.contestant"


def peer_that_answers(**results):
    """A system whose result of each order is fixed."""
    program = (
        "import json, sys\n"
        f"results = json.loads({json.dumps(results)!r})\n"
        "for line in sys.stdin: print(json.dumps(results[json.loads(line)['do']]), flush=True)\n"
    )
    return f"fixed={sys.executable} -c {shlex.quote(program)}"


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
        assert -8.5 < case["mean_logprob"]["attune"] == case["mean_logprob"]["again"] < -6
        assert case["served_ratio"] is None
    printed = capsys.readouterr().out
    assert "roofline" in printed
    assert "first token, p99" in printed


def test_the_service_answers_over_grpc_beside_the_engine_in_it(tmp_path, capsys):
    path = tmp_path / "figures.json"
    case = Answers("two at once", 4, 8, 2, 2, new_tokens=4)
    bench_generate(GenerateBench("5m", "float32", (), 1, 1, path, through_grpc=True), [case])
    [row] = json.loads(path.read_text())["cases"].values()
    assert set(row["tokens_per_s"]) == {"attune", "attune, gRPC"}
    assert row["served_ratio"] > 0
    assert row["ratio"] is None  # it is no other system
    assert abs(row["mean_logprob"]["attune, gRPC"] - row["mean_logprob"]["attune"]) < 2
    assert "through gRPC, of the engine by itself: two at once" in capsys.readouterr().out


def test_pictures_under_guidance_are_measured_by_their_codes(tmp_path):
    path = tmp_path / "figures.json"
    bench_images(
        GenerateBench("5m", "float32", (AGAIN,), 1, 1, path), [Pictures("two at once", 2, 2)]
    )
    [row] = json.loads(path.read_text())["cases"].values()
    assert set(row["tokens_per_s"]) == {"attune", "again"}
    assert -8.5 < row["mean_logprob"]["attune"] == row["mean_logprob"]["again"] < -6
    assert "of_roofline" not in row


def test_a_peer_that_ends_says_why(tmp_path):
    failing = f"broken={sys.executable} -c 'raise SystemExit(\"no such model\")'"
    with pytest.raises(UserError, match="broken ended without a result") as raised:
        bench_generate(GenerateBench("5m", "float32", (failing,), 1, 1, None), CASES)
    assert "no such model" in str(raised.value.hint)


def test_a_peer_that_cannot_run_the_model_is_left_out_with_its_reason(tmp_path, capsys):
    path = tmp_path / "figures.json"
    absent = peer_that_answers(load={"absent": "no bfloat16 here"})
    bench_generate(GenerateBench("5m", "bfloat16", (absent,), 1, 1, path), CASES[:1])
    [row] = json.loads(path.read_text())["cases"].values()
    assert set(row["tokens_per_s"]) == {"attune"}
    assert "fixed is absent: no bfloat16 here" in capsys.readouterr().out


def test_a_peer_that_writes_less_than_was_asked_is_refused():
    short = {"seconds": 1.0, "tokens": 7, "mean_logprob": -7.0}
    lazy = peer_that_answers(load={"ready": True}, generate=short)
    with pytest.raises(UserError, match="fixed wrote 7 tokens for 'one'; 8 were asked for"):
        bench_generate(GenerateBench("5m", "float32", (lazy,), 1, 1, None), CASES)


def test_a_peer_needs_a_name_and_a_command():
    with pytest.raises(UserError, match="is not NAME=COMMAND"):
        bench_generate(GenerateBench("5m", "float32", ("vllm",), 1, 1, None))
