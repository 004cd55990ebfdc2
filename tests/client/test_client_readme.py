"""The blocks of the client's README, run in order as a reader would.

Changed are the addresses, which the test's services do not have from `attune up`, and the number
of steps.
"""

import re
from pathlib import Path

from tests.support.training_stack import RL_RECIPE

_README = Path(__file__).parents[2] / "client/README.md"
_PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SCORER = '[reward.user_scorer]\nfile = "scorer.py"\n'


def test_the_blocks_run_in_order(client, service_addresses, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    recipe = RL_RECIPE.replace(_SCORER, '[reward]\nversion = "program/world"\n')
    Path("recipe.toml").write_text(recipe)
    given = {name.removesuffix("_address"): a for name, a in service_addresses.items()}
    names: dict[str, object] = {}
    for block in _PYTHON.findall(_README.read_text()):
        block = block.replace("Client()", f"Client(**{given})").replace('"steps": 20', '"steps": 1')
        exec(compile(block, "README", "exec"), names)
    names["client"].close()
    printed = capsys.readouterr().out
    assert "scored 1.0 None" in printed
    assert printed.rstrip().endswith("succeeded")
