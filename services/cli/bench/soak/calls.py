"""What is asked: every modality in, text and pictures out, groups, forms; some are cancelled."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import uuid4

import grpc
import numpy as np
from numpy.random import Generator

from models.preprocessing.conversation import Medium, Part, Role, Text, Turn
from protos.v1 import content_pb2, media_pb2, trajectory_pb2, versions_pb2
from protos.v1 import policy_generator_pb2 as pb
from protos.v1.policy_generator_pb2_grpc import PolicyGeneratorStub
from services.cli.bench.answers import what_is_wrong
from services.cli.bench.cases import Case, media_cases
from services.cli.bench.traffic import Traffic
from services.common.codecs import prompt_to_proto
from services.common.errors import from_rpc

_MODEL = versions_pb2.ModelRef(alias="stable")
_QUESTION, _DRAWING = "what is there?", "draw a red circle."
_SCHEMA = '{"type": "object", "properties": {"count": {"type": "integer"}}, "required": ["count"]}'
_AUDIO_SECONDS = (1.0, 5.0)
_MAX_TOKENS, _SAMPLES, _PROMPTS = 32, 8, 2
_GUIDANCE = 3.0
_CANCELLED_SHARE, _CANCELLED_AFTER_S = 0.15, 0.3
_DEADLINE_S = 120.0

_Request = pb.GenerateRequest | pb.RolloutRequest


@dataclass(frozen=True, slots=True)
class Kind:
    """Something to ask, how often beside the others, and how many samples answer it."""

    name: str
    weight: float
    make: Callable[[Generator], _Request]
    num_samples: int = 1


def all_kinds() -> list[Kind]:
    """For a model that takes and draws all there is."""
    taken = media_pb2.Modality.values()
    asked = [Kind(case.name, 2, partial(_ask, case)) for case in media_cases(_AUDIO_SECONDS, taken)]
    return [
        *asked,
        Kind("drawing", 1, partial(_draw, 1.0)),
        Kind("guided drawing", 1, partial(_draw, _GUIDANCE)),
        Kind("groups", 1, _rollout, _PROMPTS * _SAMPLES),
        Kind("form", 0.5, _fill_form),
    ]


class Caller:
    """One of those who ask at the same time; see `callers.asking`."""

    def __init__(self, stub: PolicyGeneratorStub, kinds: list[Kind], seed: int) -> None:
        self._stub = stub
        self._kinds = kinds
        self._rng = np.random.default_rng(seed)
        weights = np.array([kind.weight for kind in kinds])
        self._chances = weights / weights.sum()

    def __call__(self, traffic: Traffic) -> None:
        kind = self._kinds[self._rng.choice(len(self._kinds), p=self._chances)]
        call = self._begin(kind.make(self._rng))
        timer = None
        if self._rng.random() < _CANCELLED_SHARE:
            timer = threading.Timer(self._rng.exponential(_CANCELLED_AFTER_S), call.cancel)
            timer.start()
        try:
            traffic.end(kind.name, what_is_wrong(call, kind.num_samples))
        except grpc.RpcError as error:
            if timer is not None and error.code() is grpc.StatusCode.CANCELLED:
                traffic.cancel()
            else:
                traffic.end(kind.name, str(from_rpc(error)))

    def _begin(self, request: _Request) -> Any:
        """A call: events to iterate over, and `cancel`."""
        if isinstance(request, pb.RolloutRequest):
            return self._stub.Rollout(request, timeout=_DEADLINE_S)
        return self._stub.Generate(request, timeout=_DEADLINE_S)


def _ask(case: Case, rng: Generator) -> pb.GenerateRequest:
    medium = None if case.make is None else case.make(rng)
    sampling = trajectory_pb2.SamplingParams(max_tokens=_MAX_TOKENS)
    return _request(_prompt(_QUESTION, medium), sampling)


def _fill_form(_: Generator) -> pb.GenerateRequest:
    sampling = trajectory_pb2.SamplingParams(max_tokens=_MAX_TOKENS, json_schema=_SCHEMA)
    return _request(_prompt(_QUESTION), sampling)


def _draw(guidance: float, _: Generator) -> pb.GenerateRequest:
    sampling = trajectory_pb2.SamplingParams(
        output=trajectory_pb2.OUTPUT_MODALITY_IMAGE, guidance_scale=guidance
    )
    return _request(_prompt(_DRAWING), sampling)


def _request(
    prompt: content_pb2.Prompt, sampling: trajectory_pb2.SamplingParams
) -> pb.GenerateRequest:
    return pb.GenerateRequest(
        request_id=f"soak-{uuid4().hex}",
        model=_MODEL,
        prompt=prompt,
        sampling=sampling,
        stream_deltas=True,
    )


def _rollout(rng: Generator) -> pb.RolloutRequest:
    """Groups; every other one goes on with newer weights when they come."""
    prompts = [f"{_QUESTION} {rng.integers(100)}" for _ in range(_PROMPTS)]
    return pb.RolloutRequest(
        request_id=f"soak-{uuid4().hex}",
        model=_MODEL,
        prompts=[
            pb.RolloutPrompt(group_id=str(number), prompt=_prompt(text))
            for number, text in enumerate(prompts)
        ],
        samples_per_prompt=_SAMPLES,
        sampling=trajectory_pb2.SamplingParams(max_tokens=_MAX_TOKENS),
        allow_version_switch=bool(rng.integers(2)),
        return_parts=True,
    )


def _prompt(text: str, medium: Medium | None = None) -> content_pb2.Prompt:
    parts: tuple[Part, ...] = (Text(text),) if medium is None else (medium, Text(text))
    return prompt_to_proto((Turn(Role.USER, parts),))
