"""Whole answers of a chat: the events of a call gathered into choices, and the usage."""

import base64
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from protos.v1.content_pb2 import Part
from protos.v1.timing_pb2 import Timing
from protos.v1.trajectory_pb2 import Sample
from services.common.errors import AttuneError
from services.gateway.openai.generation import Generation, finish_reason
from services.gateway.openai.logprobs import TokenLogprob, token_logprobs


@dataclass(frozen=True)
class Answer:
    """All samples of a call, in order of their index, and what they took."""

    samples: list[Sample]
    logprobs: dict[int, list[TokenLogprob]]
    timing: Timing


async def gather(generation: Generation) -> Answer:
    """Follows a call to its end. Raises if it fails or ends early."""
    samples: dict[int, Sample] = {}
    logprobs: dict[int, list[TokenLogprob]] = defaultdict(list)
    async for response in generation:
        match response.WhichOneof("event"):
            case "delta":
                logprobs[response.delta.index] += token_logprobs(response.delta)
            case "finished":
                samples[response.finished.index] = response.finished
            case "done":
                ordered = [samples[index] for index in sorted(samples)]
                return Answer(ordered, logprobs, response.done.timing)
    raise AttuneError("the policy service ended its answer without `done`")


def chat_choice(sample: Sample, logprobs: list[TokenLogprob] | None) -> dict[str, Any]:
    """One entry of `choices`. Raises for a sample that failed."""
    return {
        "index": sample.index,
        "message": {"role": "assistant", "content": content(sample.parts), "refusal": None},
        "logprobs": None if logprobs is None else {"content": logprobs, "refusal": None},
        "finish_reason": finish_reason(sample),
    }


def content(parts: Iterable[Part]) -> str | list[dict[str, Any]]:
    """The text of an answer; where it holds pictures, its parts in order with data URLs."""
    listed = [_content_part(part) for part in parts if part.WhichOneof("kind") != "tokens"]
    if any(part["type"] != "text" for part in listed):
        return listed
    return "".join(part["text"] for part in listed)


def picture_parts(parts: Iterable[Part]) -> list[dict[str, Any]]:
    """Only the pictures of an answer, as content parts."""
    return [_content_part(part) for part in parts if part.WhichOneof("kind") == "media"]


def usage(timing: Timing) -> dict[str, Any]:
    """Tokens of prompt and answer; all samples of a request share one prompt."""
    return {
        "prompt_tokens": timing.prompt_tokens,
        "completion_tokens": timing.completion_tokens,
        "total_tokens": timing.prompt_tokens + timing.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": timing.cached_tokens},
    }


def _content_part(part: Part) -> dict[str, Any]:
    if part.WhichOneof("kind") == "text":
        return {"type": "text", "text": part.text}
    mime_type = part.media.mime_type or "image/png"
    url = f"data:{mime_type};base64,{base64.b64encode(part.media.data).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}
