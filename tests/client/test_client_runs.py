"""Runs from recipe to version through the real services."""

import asyncio

import pytest

from attune_client import AsyncClient, Client, RunState, errors
from tests.support.training_stack import RL_RECIPE, running_training


@pytest.fixture
async def training(tmp_path):
    async with running_training(tmp_path) as services:
        yield services


async def test_a_recipe_in_a_file_is_started_watched_and_listed(training):
    recipe = training.home / "recipe.toml"
    recipe.write_text(RL_RECIPE)

    def followed() -> None:
        with Client(trainer=training.running.address) as client:
            run = client.runs.start(recipe, {"steps": 1, "name": "mine"})
            events = list(client.runs.watch(run.run_id))
            states = [event.state for event in events if event.kind == "state"]
            assert states == [RunState.QUEUED, RunState.RUNNING, RunState.SUCCEEDED]
            [metrics] = [event.metrics for event in events if event.kind == "metrics"]
            assert metrics["samples"] == 12
            after = list(client.runs.watch(run.run_id, after=events[-2].sequence))
            assert after == events[-1:]
            ended = client.runs.get(run.run_id)
            assert (ended.state, ended.step, ended.name) == (RunState.SUCCEEDED, 1, "mine")
            published = [event.version for event in events if event.kind == "published"]
            assert ended.latest_version == published[-1]
            assert [listed.run_id for listed in client.runs.list()] == [run.run_id]

    await asyncio.to_thread(followed)


async def test_a_run_is_stopped_and_resumed(training):
    async with AsyncClient(trainer=training.running.address) as client:
        folder = str(training.home / "scorer.py")
        run = await client.runs.start(RL_RECIPE, {"steps": 50, "reward.user_scorer.file": folder})
        async for event in client.runs.watch(run.run_id):
            if event.kind == "metrics":
                await client.runs.stop(run.run_id)
        stopped = await client.runs.get(run.run_id)
        assert stopped.state is RunState.STOPPED
        assert stopped.state.has_ended
        resumed = await client.runs.resume(run.run_id)
        assert not resumed.state.has_ended
        await client.runs.stop(run.run_id)
        assert [r.run_id async for r in client.runs.list()] == [run.run_id]
        with pytest.raises(errors.NotFound, match="no run 'nobody'"):
            await client.runs.get("nobody")
