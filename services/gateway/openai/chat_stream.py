"""A chat answer as server-sent events, as OpenAI's API streams it.

The id and the creation time are the same in every chunk; the first chunk of each choice carries the
role; `finish_reason` is null until its last. Text streams as it is sampled; a picture comes whole,
as a content part, just before its choice ends. A failure after the first byte is an `error` event.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from protos.v1.policy_generator_pb2 import GenerateResponse, SampleDelta
from protos.v1.timing_pb2 import Timing
from protos.v1.trajectory_pb2 import Sample
from services.common.errors import AttuneError
from services.gateway.errors import error_body
from services.gateway.openai.chat_answer import picture_parts, usage
from services.gateway.openai.generation import Generation, finish_reason
from services.gateway.openai.logprobs import token_logprobs
from services.gateway.sse import DONE, sse_event


class ChunkWriter:
    """Makes the chunks of one stream; all share what `envelope` holds."""

    def __init__(self, envelope: dict[str, Any], logprobs: bool, include_usage: bool) -> None:
        self._envelope = envelope
        self._logprobs = logprobs
        self._usage_null = {"usage": None} if include_usage else {}
        self._include_usage = include_usage

    def begin(self, num_samples: int) -> Iterator[bytes]:
        """The role of every choice."""
        for index in range(num_samples):
            yield self._chunk(index, {"role": "assistant", "content": "", "refusal": None})

    def write(self, response: GenerateResponse) -> Iterator[bytes]:
        """What an event of the call gives the client."""
        match response.WhichOneof("event"):
            case "delta":
                yield from self._delta(response.delta)
            case "finished":
                yield from self._finished(response.finished)
            case "done":
                yield from self._end(response.done.timing)

    def _delta(self, delta: SampleDelta) -> Iterator[bytes]:
        logprobs = token_logprobs(delta) if self._logprobs else None
        if delta.text or logprobs:
            yield self._chunk(delta.index, {"content": delta.text}, logprobs)

    def _finished(self, sample: Sample) -> Iterator[bytes]:
        reason = finish_reason(sample)
        pictures = picture_parts(sample.parts)
        if pictures:
            yield self._chunk(sample.index, {"content": pictures})
        yield self._chunk(sample.index, {}, None, reason)

    def _end(self, timing: Timing) -> Iterator[bytes]:
        if self._include_usage:
            yield sse_event(self._envelope | {"choices": [], "usage": usage(timing)})
        yield DONE

    def _chunk(
        self,
        index: int,
        delta: dict[str, Any],
        logprobs: list[Any] | None = None,
        reason: str | None = None,
    ) -> bytes:
        choice = {
            "index": index,
            "delta": delta,
            "logprobs": {"content": logprobs, "refusal": None} if logprobs else None,
            "finish_reason": reason,
        }
        return sse_event(self._envelope | {"choices": [choice]} | self._usage_null)


async def chat_events(
    generation: Generation,
    writer: ChunkWriter,
    num_samples: int,
    observe: Callable[[GenerateResponse], None],
) -> AsyncIterator[bytes]:
    """The body of the response; ends the call when the client leaves."""
    async with generation:
        for chunk in writer.begin(num_samples):
            yield chunk
        try:
            async for response in generation:
                observe(response)
                for chunk in writer.write(response):
                    yield chunk
        except AttuneError as error:
            yield sse_event(error_body(error))
