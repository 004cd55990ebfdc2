"""Who asks while weights change: streams of single answers, and rollouts that follow the alias."""

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from uuid import uuid4

import grpc

from models.preprocessing.conversation import Role, Text, Turn
from protos.v1 import content_pb2, trajectory_pb2, versions_pb2
from protos.v1 import policy_generator_pb2 as pb
from protos.v1.policy_generator_pb2_grpc import PolicyGeneratorStub
from services.cli.bench.weights.traffic import Gap, Traffic
from services.common.codecs import prompt_to_proto

STABLE = "stable"
_MODEL = versions_pb2.ModelRef(alias=STABLE)
_ENDED_WELL = (trajectory_pb2.FINISH_REASON_STOP, trajectory_pb2.FINISH_REASON_LENGTH)
_MAX_TOKENS, _NUM_WORDS = 64, 8
_SAMPLES = 2  # of a rollout
_DEADLINE_S = 300.0

# Makes one call; says what is wrong with its answer, None where it is whole.
_Call = Callable[[PolicyGeneratorStub, random.Random, Traffic], str | None]


@contextmanager
def load(
    stub: PolicyGeneratorStub, num_streams: int, num_followers: int, is_timed: bool
) -> Iterator[Traffic]:
    """Keeps so many calls going; at the end of the context they may finish. The gaps between
    tokens are kept where it is timed."""
    traffic, is_over = Traffic(), threading.Event()

    def keep_asking(call: _Call, number: int) -> None:
        rng = random.Random(number)
        while not is_over.is_set():
            traffic.begin()
            try:
                traffic.end(call(stub, rng, traffic))
            except grpc.RpcError as error:
                traffic.end(f"{error.code().name}: {error.details()}")

    stream = _timed_stream if is_timed else _stream
    calls = [stream] * num_streams + [_follow] * num_followers
    threads = [
        threading.Thread(target=keep_asking, args=(call, number), daemon=True)
        for number, call in enumerate(calls)
    ]
    for thread in threads:
        thread.start()
    try:
        yield traffic
    finally:
        is_over.set()
        for thread in threads:
            thread.join(_DEADLINE_S)


def first_token_version(stub: PolicyGeneratorStub) -> str:
    """Asks the alias for one token; the version that wrote it."""
    version = ""
    for event in stub.Generate(_request(random.Random(0), max_tokens=1), timeout=_DEADLINE_S):
        if event.HasField("started"):
            version = event.started.policy_version
        if event.HasField("delta"):
            return version
    return version


def _stream(stub: PolicyGeneratorStub, rng: random.Random, _: Traffic) -> str | None:
    return _wrong(stub.Generate(_request(rng, _MAX_TOKENS), timeout=_DEADLINE_S), 1)


def _timed_stream(stub: PolicyGeneratorStub, rng: random.Random, traffic: Traffic) -> str | None:
    calls = stub.Generate(_request(rng, _MAX_TOKENS), timeout=_DEADLINE_S)
    return _wrong(_timed(calls, traffic), 1)


def _timed(
    events: Iterator[pb.GenerateResponse], traffic: Traffic
) -> Iterator[pb.GenerateResponse]:
    """Notes when each token came."""
    previous_s = None
    for event in events:
        if event.HasField("delta"):
            now_s = time.perf_counter()
            if previous_s is not None:
                traffic.gaps.append(Gap(previous_s, now_s))
            previous_s = now_s
        yield event


def _follow(stub: PolicyGeneratorStub, rng: random.Random, _: Traffic) -> str | None:
    """A rollout that goes on with newer weights when they come."""
    request = pb.RolloutRequest(
        request_id=f"bench-{uuid4().hex}",
        model=_MODEL,
        prompts=[pb.RolloutPrompt(group_id="group", prompt=_prompt(rng))],
        samples_per_prompt=_SAMPLES,
        sampling=_sampling(_MAX_TOKENS),
        allow_version_switch=True,
    )
    return _wrong(stub.Rollout(request, timeout=_DEADLINE_S), _SAMPLES)


def _wrong(
    events: Iterator[pb.GenerateResponse] | Iterator[pb.RolloutResponse], expected: int
) -> str | None:
    samples: list[trajectory_pb2.Sample] = []
    is_done = False
    for event in events:
        samples += _samples_of(event)
        is_done = is_done or event.HasField("done")
    if not is_done:
        return "the stream ended before it was done"
    if len(samples) != expected:
        return f"{len(samples)} of {expected} samples came"
    bad = [sample for sample in samples if sample.finish_reason not in _ENDED_WELL]
    return f"a sample ended badly: {bad[0].error}" if bad else None


def _samples_of(
    event: pb.GenerateResponse | pb.RolloutResponse,
) -> Sequence[trajectory_pb2.Sample]:
    if isinstance(event, pb.RolloutResponse):
        return event.group.samples
    return [event.finished] if event.HasField("finished") else []


def _request(rng: random.Random, max_tokens: int) -> pb.GenerateRequest:
    return pb.GenerateRequest(
        request_id=f"bench-{uuid4().hex}",
        model=_MODEL,
        prompt=_prompt(rng),
        sampling=_sampling(max_tokens),
        stream_deltas=True,
    )


def _prompt(rng: random.Random) -> content_pb2.Prompt:
    text = " ".join(f"word{rng.randrange(10_000)}" for _ in range(_NUM_WORDS))
    return prompt_to_proto((Turn(Role.USER, (Text(text),)),))


def _sampling(max_tokens: int) -> trajectory_pb2.SamplingParams:
    return trajectory_pb2.SamplingParams(temperature=1.0, max_tokens=max_tokens, ignore_eos=True)
