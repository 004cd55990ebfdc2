"""Experiments on recordings that people made, in their smallest form, on a tiny random model.

Nothing is learned to speak of; every stage does what it does at full size.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from tests.support.processes import free_port_base
from tests.support.tiny_model import save_tiny_model

_DATA = Path(__file__).parents[3] / "shared" / "data"
_TIMEOUT_S = 300
_LITTLE = {
    "heldout_items": 6,
    "start.steps": 1,
    "policy.steps": 2,
    "judged_policy.steps": 1,
    "reward_model.steps": 2,
    "judging.items": 24,
    "judging.check_items": 4,
    "judging.samples_per_item": 3,
}
_OF_EACH = {
    "spoken_digits": ("spoken-digits", {"speakers": ["george"], "variants": 0}, {"george"}),
    "drawing_videos": (
        "drawing-videos",
        {"run_folds": 1, "folds": 15, "control_folds": 0, "variants": 1},
        {"reversed", "shuffled", "reversed, people", "shuffled, people"},
    ),
    "emoji": ("openmoji", {}, {"caption", "draw"}),
}
pytestmark = pytest.mark.data


@dataclass(frozen=True)
class Stack:
    """Services that are up over a tiny model."""

    home: Path

    def run(self, experiment: str, *settings: str) -> dict:
        """Runs an experiment in little; its figures."""
        folder, own, _ = _OF_EACH[experiment]
        if not (_DATA / folder).is_dir():
            pytest.skip(f"no data at {_DATA / folder}")
        words = [f"{key}={json.dumps(value)}" for key, value in (_LITTLE | own).items()]
        options = [word for one in (*words, *settings) for word in ("--set", one)]
        figures = self.home / f"{experiment}.json"
        ended = _attune(
            "run", experiment, "--data", str(_DATA / folder), "--json", str(figures), *options,
            "--home", str(self.home),
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr + ended.stdout
        assert "95 % intervals" in ended.stdout
        return json.loads(figures.read_text())


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    if not _DATA.is_dir():
        pytest.skip(f"no data at {_DATA}")
    home = tmp_path_factory.mktemp("home")
    base = save_tiny_model(tmp_path_factory.mktemp("checkpoint") / "tiny")
    place = ("--home", str(home))
    ports = ("--port-base", str(free_port_base()))
    up = _attune("up", "--detach", *place, *ports, ATTUNE_POLICY_BASE_CHECKPOINT=str(base))
    assert up.returncode == 0, up.stderr
    try:
        yield Stack(home)
    finally:
        _attune("down", *place)


@pytest.mark.parametrize("experiment", list(_OF_EACH))
def test_an_experiment_goes_end_to_end(stack, experiment):
    figures = stack.run(experiment)
    families = _OF_EACH[experiment][2]
    for how in ("sampled", "greedy"):
        scores = figures["scores"][how]
        assert set(scores) == {"start", "RL", "gain"}
        assert set(scores["start"]["families"]) <= families
        assert scores["RL"]["not_scored"] == {}
        assert {"mean", "low", "high"} <= set(scores["gain"]["mean"])
    with Image.open(figures["picture"]) as picture:
        assert picture.width > 300
    if experiment == "emoji":
        bounds = {b["name"]: b["value"] for b in figures["bounds"]}
        assert 0 < bounds["another's picture"] < 1
        assert "ceiling: round trip of the image tokenizer" in bounds


@pytest.mark.parametrize(
    "experiment",
    [
        "spoken_digits",
        pytest.param("emoji", marks=pytest.mark.slow),
        pytest.param("drawing_videos", marks=pytest.mark.slow),
    ],
)
def test_an_experiment_runs_against_judgements_of_simulated_raters(stack, experiment):
    own = {"emoji": ('tasks=["caption"]',)}.get(experiment, ())
    figures = stack.run(experiment, "reward=judgements", *own)
    assert "SIMULATED" in figures["rl_reward"]
    assert len(figures["reward_models"]) == 1
    titles = [stage["stage"] for stage in figures["stages"]]
    assert any("Simulated raters judge pairs" in title for title in titles)


def test_the_data_must_be_named(stack):
    ended = _attune("run", "emoji", "--home", str(stack.home))
    assert ended.returncode == 1
    assert "emoji needs its data" in ended.stderr


def _attune(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "services.cli", *words]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
        env=os.environ | environment,
    )
