"""Generate: the request that an application sends, and what comes back."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, TypedDict

from attune_client.content import Prompt, prompt_to_proto
from attune_client.models import model_ref
from attune_client.protos.v1 import media_pb2, timing_pb2
from attune_client.protos.v1 import policy_generator_pb2 as pb
from attune_client.protos.v1 import trajectory_pb2 as trajectories


class SamplingOptions(TypedDict, total=False):
    """How to sample; what is not given takes the server's default."""

    temperature: float  # 0 is greedy
    top_p: float
    top_k: int
    guidance_scale: float
    max_tokens: int
    seed: int
    stop: Sequence[str]
    ignore_eos: bool
    top_logprobs: int
    output: Literal["text", "image", "auto"]


class FinishReason(StrEnum):
    """Why a sample ended; `error` says why one failed."""

    STOP = "stop"
    LENGTH = "length"
    CANCELLED = "cancelled"
    FAILED = "failed"
    UNKNOWN = "unknown"


_OUTPUTS = {
    "text": trajectories.OUTPUT_MODALITY_TEXT,
    "image": trajectories.OUTPUT_MODALITY_IMAGE,
    "auto": trajectories.OUTPUT_MODALITY_AUTO,
}
_FINISH_REASONS = {
    trajectories.FINISH_REASON_STOP: FinishReason.STOP,
    trajectories.FINISH_REASON_LENGTH: FinishReason.LENGTH,
    trajectories.FINISH_REASON_CANCELLED: FinishReason.CANCELLED,
    trajectories.FINISH_REASON_FAILED: FinishReason.FAILED,
}


@dataclass(frozen=True, slots=True)
class Sample:
    """One answer. Tokens and log-probabilities are parallel, the end of turn included."""

    sample_id: str  # what feedback calls it: its candidate id
    index: int
    text: str
    images: tuple[bytes, ...] = field(repr=False)  # PNG
    token_ids: tuple[int, ...] = field(repr=False)
    logprobs: tuple[float, ...] = field(repr=False)
    finish_reason: FinishReason
    error: str | None
    # The whole of it: support, kept mass, versions, alternatives.
    proto: trajectories.Sample = field(repr=False)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens, and where the time went as the server measured it."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    total_s: float
    queue_s: float
    time_to_first_token_s: float | None


@dataclass(frozen=True, slots=True)
class Completion:
    """An answered request. `completion_id` is what feedback refers to."""

    completion_id: str
    policy_version: str
    samples: tuple[Sample, ...]
    usage: Usage

    @property
    def text(self) -> str:
        """Of the first sample."""
        return self.samples[0].text

    @property
    def images(self) -> tuple[bytes, ...]:
        """Of the first sample, as PNG."""
        return self.samples[0].images


@dataclass(frozen=True, slots=True)
class Delta:
    """Further tokens of one sample, as they come."""

    index: int
    text: str
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]


def sampling_to_proto(options: SamplingOptions) -> trajectories.SamplingParams:
    """The options on the wire. Raises ValueError for one that there is not."""
    output = options.get("output")
    others = {name: value for name, value in options.items() if name != "output"}
    params = trajectories.SamplingParams(**others)  # type: ignore[arg-type]
    if output is not None:
        params.output = _OUTPUTS[output]
    return params


def generate_request(
    prompt: Prompt,
    model: str,
    n: int,
    tenant: str,
    request_id: str | None,
    sampling: SamplingOptions,
) -> pb.GenerateRequest:
    """A request under a key of its own, or the one given."""
    return pb.GenerateRequest(
        request_id=request_id or f"gen-{uuid.uuid4().hex}",
        model=model_ref(model),
        prompt=prompt_to_proto(prompt),
        sampling=sampling_to_proto(sampling),
        n=n,
        tenant=tenant,
    )


class CompletionBuilder:
    """Takes the events of one Generate call."""

    def __init__(self) -> None:
        self._started = pb.GenerateStarted()
        self._timing = timing_pb2.Timing()
        self._samples: list[Sample] = []

    def take(self, response: pb.GenerateResponse) -> Delta | None:
        """Notes an event; gives what it adds to a sample."""
        match response.WhichOneof("event"):
            case "started":
                self._started = response.started
            case "finished":
                self._samples.append(sample_from_proto(response.finished))
            case "done":
                self._timing = response.done.timing
            case "delta":
                delta = response.delta
                ids, logprobs = tuple(delta.token_ids), tuple(delta.logprobs)
                return Delta(delta.index, delta.text, ids, logprobs)
        return None

    def completion(self) -> Completion:
        """All of it, once the call has ended."""
        return Completion(
            completion_id=self._started.request_id,
            policy_version=self._started.policy_version,
            samples=tuple(sorted(self._samples, key=lambda sample: sample.index)),
            usage=_usage(self._timing),
        )


def sample_from_proto(sample: trajectories.Sample) -> Sample:
    """A sample with its text joined and its pictures apart."""
    media = [part.media for part in sample.parts if part.WhichOneof("kind") == "media"]
    return Sample(
        sample_id=sample.sample_id,
        index=sample.index,
        text="".join(part.text for part in sample.parts),
        images=tuple(m.data for m in media if m.modality == media_pb2.MODALITY_IMAGE),
        token_ids=tuple(sample.token_ids),
        logprobs=tuple(sample.logprobs),
        finish_reason=_FINISH_REASONS.get(sample.finish_reason, FinishReason.UNKNOWN),
        error=sample.error or None,
        proto=sample,
    )


def _usage(timing: timing_pb2.Timing) -> Usage:
    has_first = timing.HasField("time_to_first_token_s")
    return Usage(
        prompt_tokens=timing.prompt_tokens,
        completion_tokens=timing.completion_tokens,
        cached_tokens=timing.cached_tokens,
        total_s=timing.total_s,
        queue_s=timing.queue_s,
        time_to_first_token_s=timing.time_to_first_token_s if has_first else None,
    )
