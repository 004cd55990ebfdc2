"""Runs from recipe to version, through real services: what StartRun, WatchRun … answer."""

import asyncio
import json
import sys
import urllib.request
import uuid
from asyncio import create_subprocess_exec, subprocess

import grpc
import pytest

from protos.v1 import policy_generator_pb2
from protos.v1 import training_orchestrator_pb2 as pb
from services.common.world.families.exercise import FAMILIES
from tests.support.training_stack import RL_RECIPE, metrics_of, running_training


@pytest.fixture
async def training(tmp_path):
    async with running_training(tmp_path) as services:
        yield services


async def replay(run, *arguments):
    """`python -m services.trainer.replay` as the command line calls it."""
    process = await create_subprocess_exec(
        *(sys.executable, "-m", "services.trainer.replay", run.folder, *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    output, errors = await process.communicate()
    return process.returncode, output.decode(), errors.decode()


async def test_a_policy_run_goes_from_recipe_to_version_and_can_be_replayed(training):
    run = await training.start()
    assert run.state == pb.RUN_STATE_QUEUED
    events = await training.watch(run)
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    states = [event.state.state for event in events if event.WhichOneof("kind") == "state"]
    assert states == [pb.RUN_STATE_QUEUED, pb.RUN_STATE_RUNNING, pb.RUN_STATE_SUCCEEDED]

    metrics = metrics_of(events)
    assert len(metrics) == 3
    assert all(step["samples"] == 12 and step["dropped"] == 0 for step in metrics)
    assert all(step["logprob_mismatch_max"] < 1e-4 for step in metrics)
    assert metrics[0]["kl"] < 1e-6, "the first step samples from the initial policy"
    phases = {"rollout", "score", "log", "learn", "publish"}
    assert {f"seconds/{phase}" for phase in phases} <= metrics[0].keys()
    shown = [event.sample for event in events if event.WhichOneof("kind") == "sample"]
    assert len(shown) == 4
    assert shown[0].prompt_image_png.startswith(b"\x89PNG")

    ended = await training.get(run)
    assert (ended.state, ended.step) == (pb.RUN_STATE_SUCCEEDED, 3)
    published = [event.published.version for event in events if event.HasField("published")]
    assert len(set(published)) == 4
    assert training.store.resolve("policy", ended.alias) == ended.latest_version == published[-1]
    own = [v for v in training.store.versions("policy") if v in published]
    assert len(own) == 2, "versions of older steps are removed"

    code, output, errors = await replay(ended)
    assert code == 0, errors
    assert json.loads(output)["is_identical"]
    code, _, errors = await replay(ended, "--threads", "2")
    assert code == 2
    assert "threads: 1, here 2" in errors


async def test_watching_from_a_sequence_gives_what_follows(training):
    run = await training.finish(steps="1")
    events = await training.watch(run)
    later = await training.watch(run, after=events[2].sequence)
    assert later == events[3:]


async def test_a_request_is_answered_once_also_after_a_restart(tmp_path):
    request = pb.StartRunRequest(
        request_id=uuid.uuid4().hex,
        recipe_toml=RL_RECIPE,
        recipe_folder=str(tmp_path),
        overrides={"steps": "1"},
    )
    async with running_training(tmp_path) as training:
        first, second = [await training.trainer.StartRun(request) for _ in range(2)]
        assert first.run_id == second.run_id
        await training.watch(first)
    async with running_training(tmp_path) as training:
        again = await training.trainer.StartRun(request)
        assert (again.run_id, again.state) == (first.run_id, pb.RUN_STATE_SUCCEEDED)
        request.overrides["steps"] = "2"
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await training.trainer.StartRun(request)
        assert refused.value.code() is grpc.StatusCode.ALREADY_EXISTS


@pytest.mark.parametrize(
    ("overrides", "code", "said"),
    [
        ({"algorithm.name": "gppo"}, "INVALID_ARGUMENT", "'grpo', 'rloo', 'ppo'"),
        ({"steps": "0"}, "INVALID_ARGUMENT", "steps: Input should be greater than or equal to 1"),
        ({"optimizer.lr": "1"}, "INVALID_ARGUMENT", "optimizer.lr: there is no such field"),
        ({"data.source": "jsonl"}, "INVALID_ARGUMENT", "data.jsonl.path: this field is required"),
        ({"initial.alias": "nobody"}, "NOT_FOUND", "no policy alias 'nobody'"),
        ({"rollout.sampling.guidance_scale": "3"}, "INVALID_ARGUMENT", "guidance_scale is 3.0"),
    ],
)
async def test_a_recipe_that_cannot_run_is_refused_with_its_field(training, overrides, code, said):
    request = pb.StartRunRequest(recipe_toml=RL_RECIPE, overrides=overrides)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await training.trainer.StartRun(request)
    assert refused.value.code() is grpc.StatusCode[code]
    assert said in refused.value.details()
    assert not (await training.trainer.ListRuns(pb.ListRunsRequest())).runs


async def test_a_missing_data_file_is_refused_at_the_start(training):
    recipe = RL_RECIPE.replace('source = "world"', 'source = "jsonl"\npath = "none.jsonl"')
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await training.start(recipe)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert f"{training.home}/none.jsonl cannot be read" in refused.value.details()


async def test_runs_wait_their_turn_in_a_bounded_queue(tmp_path):
    async with running_training(tmp_path, max_queued=1) as training:
        first, second = await training.start(), await training.start()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await training.start()
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        stopped = await training.trainer.StopRun(pb.StopRunRequest(run_id=second.run_id))
        assert stopped.state == pb.RUN_STATE_STOPPED
        third = await training.start(steps="1")
        await training.watch(first)
        await training.watch(third)
        assert (await training.get(third)).state == pb.RUN_STATE_SUCCEEDED
        page = await training.trainer.ListRuns(pb.ListRunsRequest(page_size=2))
        assert [run.run_id for run in page.runs] == [third.run_id, second.run_id]
        rest = pb.ListRunsRequest(page_size=2, page_token=page.next_page_token)
        listed = await training.trainer.ListRuns(rest)
        assert [run.run_id for run in listed.runs] == [first.run_id]
        assert not listed.next_page_token


async def test_a_stopped_run_resumes_to_the_weights_of_one_that_was_not(training):
    whole = await training.finish(steps="3")
    run = await training.start(steps="3")
    watched = training.trainer.WatchRun(pb.WatchRunRequest(run_id=run.run_id))
    async for event in watched:
        if event.WhichOneof("kind") == "metrics":
            await training.trainer.StopRun(pb.StopRunRequest(run_id=run.run_id, checkpoint=True))
    stopped = await training.get(run)
    assert (stopped.state, stopped.step < 3) == (pb.RUN_STATE_STOPPED, True)
    resumed = await training.resume(run)
    assert (resumed.state, resumed.step) == (pb.RUN_STATE_SUCCEEDED, 3)
    assert len(metrics_of(await training.watch(run))) == 3, "each step is reported once"
    assert weights(resumed) == weights(whole)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await training.resume(run)
    assert "only a run that was interrupted" in refused.value.details()


async def test_held_out_items_are_measured_and_change_nothing(training):
    plain = await training.finish(steps="3")
    settings = {"heldout__every": "2", "heldout__items": "8"}
    measured = await training.finish(steps="3", **settings)
    events = await training.watch(measured)
    curve = [step for step in metrics_of(events) if "heldout_mean" in step]
    assert [event.step for event in events if "heldout_mean" in event.metrics.values] == [1, 2, 3]
    assert set(curve[0]) == {"heldout_mean"} | {f"heldout_mean/{family}" for family in FAMILIES}
    assert weights(measured) == weights(plain)


async def test_a_time_limit_ends_a_run_after_a_step(training):
    run = await training.finish(steps="100", time_limit_s="0.000001")
    assert (run.state, run.step) == (pb.RUN_STATE_SUCCEEDED, 0)
    last = (await training.watch(run))[-1]
    assert last.state.message == "time limit reached after step 0"


async def test_metrics_count_steps_samples_and_phases(training):
    await training.finish(steps="2")
    ended = 'attune_trainer_runs_ended_total{stage="policy",state="SUCCEEDED"} 1.0'
    text = await scrape_until(training, ended)
    assert 'attune_trainer_steps_total{stage="policy"} 2.0' in text
    assert 'attune_trainer_samples_total{stage="policy"} 24.0' in text
    assert 'attune_trainer_phase_duration_seconds_count{phase="learn",stage="policy"} 2.0' in text


async def scrape_until(training, line):
    """/metrics, once events have been counted up to `line`."""
    address = f"http://127.0.0.1:{training.running.metrics_port}/metrics"
    async with asyncio.timeout(20):
        while line not in (text := await asyncio.to_thread(scrape, address)):
            pass
    return text


def scrape(address):
    with urllib.request.urlopen(address) as response:
        return response.read().decode()


async def test_a_published_alias_serves_the_result(training):
    run = await training.finish(steps="1", publish__alias="candidate")
    listed = await training.policy.ListVersions(policy_generator_pb2.ListVersionsRequest())
    named = {state.alias: state.version for state in listed.aliases}
    assert named["candidate"] == named[run.alias] == run.latest_version


def weights(run):
    with open(f"{run.folder}/run.json") as file:
        digest = json.load(file)["weights_sha256"]
    assert digest
    return digest
