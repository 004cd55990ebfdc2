"""The demo's whole story in little, on real services: every stage, tables and figures."""

import json
import os
import subprocess
import sys
from pathlib import Path

from services.common.world.families.exercise import FAMILIES
from tests.support.processes import free_port_base

# Sizes at which nothing is learned to speak of, but every stage does what it does at full size.
_LITTLE = {
    "evaluation.items_per_family": 10,
    "collection.items_per_family": 12,
    "collection.check_items_per_family": 8,
    "collection.samples_per_item": 3,
    "reward.budget_s": 2.0,
    "policy.budget_s": 2.0,
    "control.budget_s": 2.0,
    "evaluation.budget_s": 2.0,
    "collection.budget_s": 2.0,
    "collection.judging_budget_s": 2.0,
}
_BUDGET_MINUTES = 16 / 60


def test_the_demo_goes_end_to_end(tmp_path: Path):
    figures_file = tmp_path / "demo.json"
    ended = _demo(tmp_path, figures_file)
    assert ended.returncode == 0, ended.stderr + ended.stdout
    figures = json.loads(figures_file.read_text())
    assert set(figures["scores"]) == {"base", "control", "RL"}
    for card in figures["scores"].values():
        assert set(card["families"]) == set(FAMILIES)
        assert card["not_scored"] == {}
    versions = {card["policy_version"] for card in figures["scores"].values()}
    assert len(versions) == 3, "base, control and RL are three policies"
    assert 0 < figures["reward_model"]["noise_ceiling"]["mean"] <= 1
    assert len(figures["stages"]) == 8
    assert set(figures["resident_bytes"]) == {"policy", "reward", "trainer", "feedback", "gateway"}
    _assert_says_what_it_is(ended.stdout)


def _assert_says_what_it_is(text: str) -> None:
    for words in ("Simulated raters", "not people", "budget", "RL − base", "http://127.0.0.1"):
        assert words in text


def _demo(home: Path, figures_file: Path) -> subprocess.CompletedProcess[str]:
    settings = [word for k, v in _LITTLE.items() for word in ("--set", f"{k}={v}")]
    command = [sys.executable, "-m", "services.cli", "demo", "--exit", *settings]
    command += ["--json", str(figures_file), "--home", str(home / "home")]
    command += ["--port-base", str(free_port_base()), "--minutes", str(_BUDGET_MINUTES)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=300, check=False, env=dict(os.environ)
    )
