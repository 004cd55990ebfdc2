"""Calls are repeated under one key until their deadline; streams go on where they broke.

A small server fails as it is told to; a real one is stopped and started.
"""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import pytest

from attune_client import Answered, AsyncClient, Client, Item, Rater, RunState, errors
from attune_client.retries import Attempts
from protos.v1 import (
    feedback_log_pb2,
    feedback_log_pb2_grpc,
    policy_generator_pb2,
    policy_generator_pb2_grpc,
    reward_model_pb2,
    reward_model_pb2_grpc,
    training_orchestrator_pb2,
    training_orchestrator_pb2_grpc,
    trajectory_pb2,
)
from tests.support.processes import free_port, running

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
FULL = grpc.StatusCode.RESOURCE_EXHAUSTED


class Failing:
    """Ends its first calls with the codes that it is given; keeps every request."""

    def __init__(self, *failures: grpc.StatusCode) -> None:
        self.failures = list(failures)
        self.requests: list = []

    def _take(self, request, context) -> None:
        self.requests.append(request)
        self._fail(context)

    def _fail(self, context) -> None:
        if self.failures:
            context.abort(self.failures.pop(0), "not now")

    @property
    def keys(self) -> set[str]:
        return {request.request_id for request in self.requests}


class FailingReward(Failing, reward_model_pb2_grpc.RewardModelServicer):
    def Score(self, request, context):
        self._take(request, context)
        return reward_model_pb2.ScoreResponse(scores=[{"status": 1, "reward": 0.5}])


class FailingPolicy(Failing, policy_generator_pb2_grpc.PolicyGeneratorServicer):
    def Generate(self, request, context):
        self.requests.append(request)
        yield policy_generator_pb2.GenerateResponse(started={"request_id": request.request_id})
        self._fail(context)
        for index in range(2):
            yield policy_generator_pb2.GenerateResponse(finished={"index": index})

    def Rollout(self, request, context):
        self.requests.append(request)
        for prompt in request.prompts:
            group = trajectory_pb2.Group(group_id=prompt.group_id)
            yield policy_generator_pb2.RolloutResponse(group=group)
            self._fail(context)


class FailingTrainer(Failing, training_orchestrator_pb2_grpc.TrainingOrchestratorServicer):
    def WatchRun(self, request, context):
        self.requests.append(request)
        for sequence in range(request.after_sequence + 1, 7):
            yield training_orchestrator_pb2.RunEvent(sequence=sequence, log={"text": "on"})
            if sequence % 2 == 0:
                self._fail(context)

    def GetRun(self, request, context):
        return training_orchestrator_pb2.Run(state=training_orchestrator_pb2.RUN_STATE_SUCCEEDED)


class FailingFeedback(Failing, feedback_log_pb2_grpc.FeedbackLogServicer):
    def ReadSnapshot(self, request, context):
        for index in range(4):
            yield feedback_log_pb2.SnapshotRecord(item={"item_id": str(index)})
            if index == 1:
                self._fail(context)


@contextmanager
def served(servicer: Failing) -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(2))
    for module in (
        reward_model_pb2_grpc,
        policy_generator_pb2_grpc,
        training_orchestrator_pb2_grpc,
        feedback_log_pb2_grpc,
    ):
        base = next(c for name, c in vars(module).items() if name.endswith("Servicer"))
        if isinstance(servicer, base):
            getattr(module, f"add_{base.__name__}_to_server")(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None)


@pytest.mark.parametrize("code", [UNAVAILABLE, FULL])
def test_a_call_is_repeated_under_one_key(code):
    reward = FailingReward(code, code)
    with served(reward) as address, Client(reward=address) as client:
        assert client.score([Answered("hi", "ho")], model="m").rewards() == [0.5]
    assert len(reward.requests) == 3
    assert len(reward.keys) == 1
    assert reward.keys != {""}


async def test_asyncio_calls_are_repeated_too():
    reward = FailingReward(UNAVAILABLE, FULL)
    with served(reward) as address:
        async with AsyncClient(reward=address) as client:
            scores = await client.score([Answered("hi", "ho")], model="m")
    assert scores.rewards() == [0.5]
    assert (len(reward.requests), len(reward.keys)) == (3, 1)


def test_other_errors_are_not_repeated():
    reward = FailingReward(grpc.StatusCode.ABORTED)
    with (
        served(reward) as address,
        Client(reward=address) as client,
        pytest.raises(errors.Aborted, match="not now"),
    ):
        client.score([Answered("hi", "ho")], model="m")
    assert len(reward.requests) == 1


def test_a_message_beyond_the_limit_is_not_repeated():
    reward = FailingReward()
    with (
        served(reward) as address,
        Client(reward=address) as client,
        pytest.raises(errors.MessageTooLarge, match="larger than max"),
    ):
        client.score([Answered("hi", "ho" * (33 << 20))], model="m")
    assert reward.requests == []


def test_a_service_that_stays_away_is_unavailable_when_the_deadline_is_near():
    started_s = time.monotonic()
    with (
        Client(policy=f"127.0.0.1:{free_port()}", deadline_s=0.5) as client,
        pytest.raises(errors.Unavailable),
    ):
        client.generate("hi")
    assert time.monotonic() - started_s < 5


def test_pauses_grow_and_end_with_the_deadline():
    attempts = Attempts(1.0)
    reward = FailingReward()
    with served(reward), grpc.insecure_channel(f"127.0.0.1:{free_port()}") as channel:
        stub = reward_model_pb2_grpc.RewardModelStub(channel)
        with pytest.raises(grpc.RpcError) as failed:
            stub.ListModels(reward_model_pb2.ListModelsRequest(), timeout=5)
    pauses_s = [attempts.pause_s(failed.value) for _ in range(3)]
    for pause_s, longest_s in zip(pauses_s, (0.1, 0.2, 0.4), strict=True):
        assert longest_s / 2 <= pause_s <= longest_s
    with pytest.raises(errors.Unavailable):
        Attempts(0.01).pause_s(failed.value)


def test_a_generation_that_breaks_begins_again_and_counts_each_sample_once():
    policy = FailingPolicy(UNAVAILABLE)
    with served(policy) as address, Client(policy=address) as client:
        assert [sample.index for sample in client.generate("hi").samples] == [0, 1]
    assert (len(policy.requests), len(policy.keys)) == (2, 1)


def test_a_stream_that_was_admitted_is_not_repeated():
    policy = FailingPolicy(UNAVAILABLE)
    with served(policy) as address, Client(policy=address) as client:
        stream = client.stream("hi")
        with pytest.raises(errors.Unavailable):
            list(stream)
    assert len(policy.requests) == 1


async def test_a_rollout_that_breaks_gives_each_group_once():
    policy = FailingPolicy(UNAVAILABLE, UNAVAILABLE)
    with served(policy) as address:
        with Client(policy=address) as client:
            groups = list(client.rollout(["one", "two", "three"], 1))
        assert [group.prompt_index for group in groups] == [0, 1, 2]
        assert (len(policy.requests), len(policy.keys)) == (3, 1)
        policy.failures = [UNAVAILABLE]
        async with AsyncClient(policy=address) as client:
            indexes = [group.prompt_index async for group in client.rollout(["one", "two"], 1)]
        assert indexes == [0, 1]


async def test_a_watch_goes_on_after_the_last_event():
    trainer = FailingTrainer(UNAVAILABLE, UNAVAILABLE)
    with served(trainer) as address:
        with Client(trainer=address) as client:
            assert [e.sequence for e in client.runs.watch("r")] == [1, 2, 3, 4, 5, 6]
            assert client.runs.get("r").state is RunState.SUCCEEDED
        assert [request.after_sequence for request in trainer.requests] == [0, 2, 4]
        trainer.failures = [UNAVAILABLE]
        async with AsyncClient(trainer=address) as client:
            assert [e.sequence async for e in client.runs.watch("r", after=3)] == [4, 5, 6]


async def test_a_snapshot_that_breaks_gives_each_item_once():
    feedback = FailingFeedback(UNAVAILABLE)
    with served(feedback) as address:
        with Client(feedback=address) as client:
            read = [r.item.item_id for r in client.feedback.read_snapshot("s")]
        assert read == ["0", "1", "2", "3"]
        feedback.failures = [UNAVAILABLE]
        async with AsyncClient(feedback=address) as client:
            again = [r.item.item_id async for r in client.feedback.read_snapshot("s")]
        assert again == read


def test_a_judgement_waits_for_a_service_that_is_restarted_and_is_stored_once(tmp_path):
    port = free_port()
    rater = Rater("r1")
    with Client(feedback=f"127.0.0.1:{port}", deadline_s=60) as client:
        with running("feedback", tmp_path, port):
            client.feedback.put_items([Item("i", "what?", {"a": "a cat"})])
        given: list[str] = []
        waiting = threading.Thread(
            target=lambda: given.append(client.feedback.rate("i", "a", 4, by=rater))
        )
        waiting.start()
        with running("feedback", tmp_path, port):
            waiting.join()
            assert [j.judgement_id for j in client.feedback.judgements()] == given
