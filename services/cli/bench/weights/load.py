"""Who asks while weights change: streams of single answers, and rollouts that follow the alias."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from uuid import uuid4

import grpc

from models.preprocessing.conversation import Role, Text, Turn
from protos.v1 import content_pb2, trajectory_pb2, versions_pb2
from protos.v1 import policy_generator_pb2 as pb
from protos.v1.policy_generator_pb2_grpc import PolicyGeneratorStub
from services.cli.bench.answers import what_is_wrong
from services.cli.bench.callers import asking
from services.cli.bench.traffic import Gap, Traffic
from services.common.codecs import prompt_to_proto
from services.common.errors import from_rpc

STABLE = "stable"
_MODEL = versions_pb2.ModelRef(alias=STABLE)
_MAX_TOKENS, _NUM_WORDS = 64, 8
_SAMPLES = 2  # of a rollout
_DEADLINE_S = 300.0


@contextmanager
def load(
    stub: PolicyGeneratorStub, num_streams: int, num_followers: int, is_timed: bool
) -> Iterator[Traffic]:
    """Keeps so many calls going; at the end of the context they may finish. The gaps between
    tokens are kept where it is timed."""
    streams = [partial(_stream, stub, random.Random(n), is_timed) for n in range(num_streams)]
    followers = [
        partial(_follow, stub, random.Random(num_streams + n)) for n in range(num_followers)
    ]
    with asking([*streams, *followers]) as traffic:
        yield traffic


def first_token_version(stub: PolicyGeneratorStub) -> str:
    """Asks the alias for one token; the version that wrote it."""
    version = ""
    for event in stub.Generate(_request(random.Random(0), max_tokens=1), timeout=_DEADLINE_S):
        if event.HasField("started"):
            version = event.started.policy_version
        if event.HasField("delta"):
            return version
    return version


def _stream(
    stub: PolicyGeneratorStub, rng: random.Random, is_timed: bool, traffic: Traffic
) -> None:
    try:
        events = stub.Generate(_request(rng, _MAX_TOKENS), timeout=_DEADLINE_S)
        wrong = what_is_wrong(_timed(events, traffic) if is_timed else events, 1)
    except grpc.RpcError as error:
        wrong = str(from_rpc(error))
    traffic.end("stream", wrong)


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


def _follow(stub: PolicyGeneratorStub, rng: random.Random, traffic: Traffic) -> None:
    """A rollout that goes on with newer weights when they come."""
    request = pb.RolloutRequest(
        request_id=f"bench-{uuid4().hex}",
        model=_MODEL,
        prompts=[pb.RolloutPrompt(group_id="group", prompt=_prompt(rng))],
        samples_per_prompt=_SAMPLES,
        sampling=_sampling(_MAX_TOKENS),
        allow_version_switch=True,
    )
    try:
        wrong = what_is_wrong(stub.Rollout(request, timeout=_DEADLINE_S), _SAMPLES)
    except grpc.RpcError as error:
        wrong = str(from_rpc(error))
    traffic.end("rollout", wrong)


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
