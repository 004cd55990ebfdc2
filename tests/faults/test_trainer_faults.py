"""What befalls a run when services, scorers, workers or the orchestrator itself fail."""

import os
import signal
import uuid
from pathlib import Path

import grpc
import pytest

from protos.v1 import training_orchestrator_pb2 as pb
from protos.v1 import training_orchestrator_pb2_grpc
from services.common.client import aio_channel
from services.common.errors import Unavailable
from services.trainer.run_folder import RunFolder, RunState
from tests.support.processes import running
from tests.support.training_stack import RL_RECIPE, SCORER, metrics_of, running_training
from tests.support.traps import install_traps


def logs_of(events):
    return [event.log.text for event in events if event.WhichOneof("kind") == "log"]


async def test_a_reward_service_that_stays_down_interrupts_the_run_and_nothing_is_lost(
    tmp_path, monkeypatch
):
    traps = install_traps(monkeypatch)
    async with running_training(tmp_path, patience_s=3) as training:

        def refuse():
            traps.set("Score", 1, refuse)  # and again
            raise Unavailable("the reward service is out")

        traps.set("Score", 2, refuse)
        run = await training.finish()
        assert (run.state, run.step) == (pb.RUN_STATE_INTERRUPTED, 1)
        assert "the reward service's Score kept failing" in run.error
        assert "resume the run" in run.error
        assert any("trying again in" in text for text in logs_of(await training.watch(run)))

        traps.set("", 0, lambda: None)
        run = await training.resume(run)
        assert (run.state, run.step) == (pb.RUN_STATE_SUCCEEDED, 3)
        assert len(metrics_of(await training.watch(run))) == 3


async def test_a_service_that_comes_back_in_time_is_waited_for(tmp_path, monkeypatch):
    traps = install_traps(monkeypatch)
    async with running_training(tmp_path, patience_s=60) as training:

        def refuse_once():
            raise Unavailable("restarting")

        traps.set("Rollout", 2, refuse_once)
        run = await training.finish()
        assert (run.state, run.step) == (pb.RUN_STATE_SUCCEEDED, 3)


async def test_a_scorer_that_always_fails_ends_the_run_with_its_reason(tmp_path):
    async with running_training(tmp_path) as training:
        write_scorer(tmp_path, "def score(item):\n    raise RuntimeError('boom')")
        run = await training.finish(steps="20")
        assert run.state == pb.RUN_STATE_FAILED
        assert "5 steps in a row had nothing to learn from (dropped: FAILED 12)" in run.error
        events = await training.watch(run)
        assert any("12 of 12 answers were not scored; FAILED" in text for text in logs_of(events))
        assert all(step["skipped"] == 1 for step in metrics_of(events))


async def test_answers_that_a_scorer_abstains_from_are_dropped_not_zero(tmp_path):
    async with running_training(tmp_path) as training:
        scorer = SCORER + "\njudge = score\n\ndef score(item):\n    value = judge(item)\n"
        write_scorer(tmp_path, scorer + "    return value if value > 0.4 else None\n")
        run = await training.finish(steps="2")
        assert run.state == pb.RUN_STATE_SUCCEEDED, run.error
        steps = metrics_of(await training.watch(run))
        assert sum(step.get("dropped/ABSTAIN", 0) for step in steps) > 0
        assert all(step["reward_mean"] > 0.4 for step in steps if "reward_mean" in step)


async def test_an_alias_that_another_publisher_holds_fails_the_run(tmp_path):
    async with running_training(tmp_path) as training:
        training.store.acquire_lease("policy", "held", "somebody else", 600)
        run = await training.finish(steps="1", publish__alias="held")
        assert run.state == pb.RUN_STATE_FAILED
        assert "alias 'held' is leased to somebody else" in run.error


async def test_a_worker_that_dies_leaves_its_run_interrupted(tmp_path, monkeypatch):
    traps = install_traps(monkeypatch)
    async with running_training(tmp_path) as training:
        traps.set("Rollout", 2, lambda: kill_workers(tmp_path))
        run = await training.finish()
        assert run.state == pb.RUN_STATE_INTERRUPTED
        assert run.error == "its process ended with status -9; resume the run"


async def test_a_service_that_is_stopped_interrupts_its_runs_after_their_step(
    tmp_path, monkeypatch
):
    traps = install_traps(monkeypatch)
    async with running_training(tmp_path) as training:
        run = await training.start(steps="1000")
        await first_step(training, run)
    record = RunFolder(Path(run.folder)).record()
    assert record.state == "INTERRUPTED"
    assert traps.calls.count("Rollout") < 1000


async def test_a_killed_orchestrator_finds_its_run_again(tmp_path):
    """The worker outlives the service's process, whose successor adopts it."""
    async with running_training(tmp_path) as training:
        settings = {
            "policy_address": training.addresses["policy"],
            "reward_address": training.addresses["reward"],
            "feedback_address": training.addresses["feedback"],
        }
        with running("trainer", tmp_path, **settings) as first:
            async with aio_channel(first.address) as channel:
                stub = training_orchestrator_pb2_grpc.TrainingOrchestratorStub(channel)
                run = await stub.StartRun(
                    pb.StartRunRequest(
                        request_id=uuid.uuid4().hex,
                        recipe_toml=RL_RECIPE,
                        recipe_folder=str(tmp_path),
                        overrides={"steps": "12"},
                    )
                )
                async for event in stub.WatchRun(pb.WatchRunRequest(run_id=run.run_id)):
                    if event.HasField("published"):
                        break
            first.kill()
        with running("trainer", tmp_path, **settings) as second:
            async with aio_channel(second.address) as channel:
                stub = training_orchestrator_pb2_grpc.TrainingOrchestratorStub(channel)
                watched = stub.WatchRun(pb.WatchRunRequest(run_id=run.run_id))
                events = [event async for event in watched]
                ended = await stub.GetRun(pb.GetRunRequest(run_id=run.run_id))
        assert (ended.state, ended.step) == (pb.RUN_STATE_SUCCEEDED, 12), ended.error
        assert len(metrics_of(events)) == 12


async def test_runs_that_died_with_the_machine_are_interrupted_at_the_next_start(tmp_path):
    async with running_training(tmp_path) as training:
        run = await training.finish(steps="1")
    folder = RunFolder(Path(run.folder))
    folder.write_record(folder.record().model_copy(update={"state": RunState.RUNNING}))
    async with running_training(tmp_path) as training:
        found = await training.get(run)
        assert found.state == pb.RUN_STATE_INTERRUPTED
        assert found.error == "its process died; resume the run"


async def test_an_unknown_run_is_not_found(tmp_path):
    async with running_training(tmp_path) as training:
        for call in (
            training.trainer.GetRun(pb.GetRunRequest(run_id="none")),
            training.trainer.StopRun(pb.StopRunRequest(run_id="none")),
            training.trainer.StartRun(pb.StartRunRequest(resume_run_id="none")),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call
            assert refused.value.code() is grpc.StatusCode.NOT_FOUND


async def first_step(training, run):
    async for event in training.trainer.WatchRun(pb.WatchRunRequest(run_id=run.run_id)):
        if event.WhichOneof("kind") == "metrics":
            return


def write_scorer(home, source):
    (home / "scorer.py").write_text(source)


def kill_workers(home):
    for path in (home / "runs").iterdir():
        pid = RunFolder(path).holder()
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
