"""The body of POST /v1/chat/completions, field by field.

Beyond OpenAI's own fields: `top_k`, `guidance_scale` (of pictures), `ignore_eos`,
`modalities: ["text", "image"]` for answers with pictures in them, and a `response_format` of
`{"type": "regex", "pattern": …}`.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from services.gateway.openai.content_parts import Content
from services.gateway.openai.fields import (
    Count,
    GuidanceScale,
    Ignored,
    ModelName,
    Seed,
    StopList,
    StrictBody,
    inert,
    refuse_together,
)
from services.gateway.openai.response_format import ResponseFormat


class ChatMessage(StrictBody):
    """One turn; an assistant's message may be sent back as it came."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Content
    name: Annotated[object, inert()] = None
    refusal: Annotated[object, inert()] = None
    audio: Annotated[object, inert()] = None
    annotations: Annotated[object, inert([])] = None
    tool_calls: Annotated[object, inert([])] = None
    function_call: Annotated[object, inert()] = None


class StreamOptions(StrictBody):
    """What a stream carries besides the answer."""

    include_usage: bool | None = None
    include_obfuscation: Annotated[object, inert(False)] = None


class UnsupportedFields(StrictBody):
    """Fields that OpenAI's clients may send, and that change nothing here."""

    user: Ignored = None
    metadata: Ignored = None
    safety_identifier: Ignored = None
    prompt_cache_key: Ignored = None
    prompt_cache_options: Ignored = None
    prompt_cache_retention: Ignored = None

    audio: Annotated[object, inert()] = None
    frequency_penalty: Annotated[object, inert(0, 0.0)] = None
    function_call: Annotated[object, inert("none", "auto")] = None
    functions: Annotated[object, inert([])] = None
    logit_bias: Annotated[object, inert({})] = None
    moderation: Annotated[object, inert()] = None
    parallel_tool_calls: Annotated[object, inert(True, False)] = None
    prediction: Annotated[object, inert()] = None
    presence_penalty: Annotated[object, inert(0, 0.0)] = None
    reasoning_effort: Annotated[object, inert("none")] = None
    service_tier: Annotated[object, inert("auto", "default")] = None
    store: Annotated[object, inert(False)] = None
    tool_choice: Annotated[object, inert("none", "auto")] = None
    tools: Annotated[object, inert([])] = None
    verbosity: Annotated[object, inert("medium")] = None
    web_search_options: Annotated[object, inert()] = None


class ChatRequest(UnsupportedFields):
    """What the client asks for; a field that is left out takes the server's default."""

    model: ModelName
    messages: list[ChatMessage] = Field(min_length=1)
    n: Count | None = None
    max_completion_tokens: Count | None = None
    max_tokens: Count | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=0, lt=1 << 31)
    guidance_scale: GuidanceScale | None = None
    seed: Seed | None = None
    stop: StopList | None = None
    ignore_eos: bool = False
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)
    response_format: ResponseFormat | None = None
    modalities: list[Literal["text", "image"]] | None = Field(None, min_length=1, max_length=2)
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    @property
    def include_usage(self) -> bool:
        """Whether a stream ends with a chunk that holds the usage."""
        return bool(self.stream_options and self.stream_options.include_usage)

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.top_logprobs is not None and not self.logprobs:
            refuse_together("top_logprobs", "top_logprobs needs logprobs to be true")
        if self.stream_options is not None and not self.stream:
            refuse_together("stream_options", "stream_options needs stream to be true")
        if None not in (self.max_tokens, self.max_completion_tokens):
            refuse_together("max_tokens", "send max_completion_tokens or max_tokens, not both")
        return self
