"""SIGKILL at every kind of moment, resumed each time: the weights of a run never killed."""

import json
import os
import signal

import pytest

from protos.v1 import training_orchestrator_pb2 as pb
from services.trainer.run_folder import RunFolder
from tests.support.training_stack import metrics_of, running_training
from tests.support.traps import install_traps

# The n-th call of this method in a session finds its caller dead. Each session first publishes
# what it has (Prepare, Commit), then takes a step: Rollout, Score, log, learn, Prepare, Commit.
MOMENTS = [
    ("PrepareWeights", 1),  # before anything
    ("Rollout", 1),  # within the first step
    ("Score", 2),  # second step sampled but not scored, no checkpoint yet
    ("PrepareWeights", 2),  # logged and learned, not published
    ("CommitWeights", 2),  # prepared, not committed
    ("Rollout", 2),  # after a checkpoint
]


@pytest.mark.parametrize("algorithm", ["grpo", pytest.param("ppo", marks=pytest.mark.slow)])
async def test_a_run_killed_anywhere_ends_with_the_same_weights(tmp_path, monkeypatch, algorithm):
    settings = {"steps": "6", "checkpoint_every": "4", "algorithm__name": algorithm}
    traps = install_traps(monkeypatch)
    async with running_training(tmp_path) as training:
        whole = await training.finish(**settings)
        traps.set(*MOMENTS[0], lambda: kill_worker(tmp_path))
        run = await training.finish(**settings)
        for moment in MOMENTS[1:]:
            assert run.state == pb.RUN_STATE_INTERRUPTED
            assert "its process ended with status -9" in run.error
            traps.set(*moment, lambda: kill_worker(tmp_path))
            run = await training.resume(run)
        assert run.state == pb.RUN_STATE_INTERRUPTED
        traps.set("", 0, lambda: None)
        run = await training.resume(run)
        assert (run.state, run.step) == (pb.RUN_STATE_SUCCEEDED, 6)
        assert weights(run) == weights(whole)
        steps = [step["samples"] for step in metrics_of(await training.watch(run))]
        assert steps == [12.0] * 6


def kill_worker(home):
    """SIGKILL for the one process that holds a run."""
    holders = [RunFolder(path).holder() for path in (home / "runs").iterdir()]
    (pid,) = [holder for holder in holders if holder is not None]
    os.kill(pid, signal.SIGKILL)


def weights(run):
    with open(f"{run.folder}/run.json") as file:
        return json.load(file)["weights_sha256"]
