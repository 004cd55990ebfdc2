"""Sampling parameters of the wire: checked, resolved against the defaults, and echoed in full."""

import hashlib
from typing import Literal

from protos.v1 import trajectory_pb2 as pb
from services.common.errors import InvalidArgument
from services.policy.config import PolicyConfig
from services.policy.engine.request import Form, OutputMode, Sampling
from services.policy.engine.served_model import ServedModel

MAX_STOP_STRINGS, MAX_STOP_CHARS = 4, 64
MAX_TEMPERATURE, MAX_GUIDANCE, MAX_TOP_LOGPROBS = 100.0, 20.0, 20

_MODES = {
    pb.OUTPUT_MODALITY_UNSPECIFIED: OutputMode.TEXT,
    pb.OUTPUT_MODALITY_TEXT: OutputMode.TEXT,
    pb.OUTPUT_MODALITY_IMAGE: OutputMode.IMAGE,
    pb.OUTPUT_MODALITY_AUTO: OutputMode.AUTO,
}
_MODE_VALUES = {
    OutputMode.TEXT: pb.OUTPUT_MODALITY_TEXT,
    OutputMode.IMAGE: pb.OUTPUT_MODALITY_IMAGE,
    OutputMode.AUTO: pb.OUTPUT_MODALITY_AUTO,
}


def output_mode(params: pb.SamplingParams) -> OutputMode:
    """What the answer may hold."""
    if params.output not in _MODES:
        raise InvalidArgument(f"sampling.output {params.output} is not known to this version")
    return _MODES[params.output]


def seed_of(params: pb.SamplingParams, request_id: str) -> int:
    """The given seed, or one that follows from the request's id, so that a retry gets the same."""
    if params.HasField("seed"):
        return params.seed
    return int.from_bytes(hashlib.sha256(request_id.encode()).digest()[:8]) >> 1


def resolve_sampling(
    params: pb.SamplingParams,
    seed: int,
    num_samples: int,
    prompt_tokens: int,
    served: ServedModel,
    config: PolicyConfig,
) -> Sampling:
    """Every setting, checked. Raises InvalidArgument with the field, the value and the range."""
    mode = _possible(output_mode(params), served)
    _check_stop(params)
    top_logprobs = _in_range("top_logprobs", params.top_logprobs, 0, MAX_TOP_LOGPROBS)
    sampling = Sampling(
        max_tokens=_max_tokens(params, mode, prompt_tokens, served, config),
        seed=seed,
        temperature=_in_range("temperature", _or(params, "temperature", 1.0), 0, MAX_TEMPERATURE),
        top_k=params.top_k or None,
        top_p=_top_p(params),
        guidance_scale=_guidance(params, mode),
        stop=tuple(params.stop),
        ignore_eos=params.ignore_eos,
        num_top_logprobs=int(top_logprobs),
        output=mode,
        form=_form(params, mode),
    )
    if num_samples * sampling.max_tokens > config.max_group_tokens:
        raise InvalidArgument(
            f"{num_samples} samples × {sampling.max_tokens} max_tokens exceed"
            f" {config.max_group_tokens}"
        )
    return sampling


def check_num_samples(num_samples: int, config: PolicyConfig) -> int:
    """The samples of a prompt, where they are within the limit."""
    if not 1 <= num_samples <= config.max_samples:
        raise InvalidArgument(f"{num_samples} samples asked; from 1 to {config.max_samples} can be")
    return num_samples


def sampling_to_proto(sampling: Sampling) -> pb.SamplingParams:
    """All settings as they were used."""
    return pb.SamplingParams(
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k or 0,
        guidance_scale=sampling.guidance_scale,
        max_tokens=sampling.max_tokens,
        seed=sampling.seed,
        stop=sampling.stop,
        ignore_eos=sampling.ignore_eos,
        top_logprobs=sampling.num_top_logprobs,
        output=_MODE_VALUES[sampling.output],
        **({sampling.form.kind: sampling.form.source} if sampling.form else {}),
    )


def _possible(mode: OutputMode, served: ServedModel) -> OutputMode:
    """A model that draws no pictures decides for text."""
    if served.grammar.draws_images:
        return mode
    if mode is OutputMode.IMAGE:
        raise InvalidArgument(
            f"sampling.output is image; {served.version} draws no pictures, ask for text"
        )
    return OutputMode.TEXT


def _max_tokens(
    params: pb.SamplingParams,
    mode: OutputMode,
    prompt_tokens: int,
    served: ServedModel,
    config: PolicyConfig,
) -> int:
    """As given; else the default, an image's tokens, or what the context leaves."""
    if params.HasField("max_tokens"):
        return params.max_tokens  # the engine checks it against the context
    left = served.context_tokens - prompt_tokens
    if left < 1:
        raise InvalidArgument(
            f"the prompt has {prompt_tokens} tokens; the context is {served.context_tokens}"
        )
    if mode is OutputMode.IMAGE:
        return served.tokens_per_image
    return min(config.default_max_tokens, left)


def _top_p(params: pb.SamplingParams) -> float:
    top_p = _or(params, "top_p", 1.0)
    if not 0 < top_p <= 1:
        raise InvalidArgument(f"sampling.top_p is {top_p:g}; it must be above 0 and at most 1")
    return top_p


def _guidance(params: pb.SamplingParams, mode: OutputMode) -> float:
    scale = _in_range("guidance_scale", _or(params, "guidance_scale", 1.0), 0, MAX_GUIDANCE)
    if output_mode(params) is OutputMode.TEXT and scale != 1:
        raise InvalidArgument(
            f"sampling.guidance_scale is {scale:g}; it is for pictures, and this answer is text"
        )
    return 1.0 if mode is OutputMode.TEXT else scale  # of a model that draws none


def _form(params: pb.SamplingParams, mode: OutputMode) -> Form | None:
    kind = params.WhichOneof("form")
    if kind is None:
        return None
    if mode is not OutputMode.TEXT:
        raise InvalidArgument(f"sampling.{kind} is for text answers; this one may hold pictures")
    if params.ignore_eos:
        raise InvalidArgument(f"sampling.{kind} and ignore_eos contradict each other; drop one")
    return Form(kind, getattr(params, kind))


def _check_stop(params: pb.SamplingParams) -> None:
    if len(params.stop) > MAX_STOP_STRINGS:
        raise InvalidArgument(
            f"sampling.stop has {len(params.stop)} strings; at most {MAX_STOP_STRINGS} are allowed"
        )
    for stop in params.stop:
        if not 1 <= len(stop) <= MAX_STOP_CHARS:
            raise InvalidArgument(
                f"a stop string has {len(stop)} characters; from 1 to {MAX_STOP_CHARS} are allowed"
            )


def _in_range(name: str, value: float, low: float, high: float) -> float:
    if not low <= value <= high:  # false for NaN too
        raise InvalidArgument(f"sampling.{name} is {value:g}; it must be from {low:g} to {high:g}")
    return value


def _or(
    params: pb.SamplingParams,
    name: Literal["temperature", "top_p", "guidance_scale"],
    default: float,
) -> float:
    return float(getattr(params, name)) if params.HasField(name) else default
