"""POST /v1/chat/completions."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from protos.v1.policy_generator_pb2 import PRIORITY_INTERACTIVE, GenerateRequest
from protos.v1.trajectory_pb2 import (
    OUTPUT_MODALITY_AUTO,
    OUTPUT_MODALITY_IMAGE,
    OUTPUT_MODALITY_TEXT,
    SamplingParams,
)
from services.gateway.config import GatewayConfig
from services.gateway.disconnect import unless_disconnected
from services.gateway.errors import BadRequest
from services.gateway.gateway import Gateway, GatewayDep, TimeoutDep
from services.gateway.metrics import StreamWatch
from services.gateway.openai.chat_answer import chat_choice, gather, usage
from services.gateway.openai.chat_request import ChatRequest
from services.gateway.openai.chat_stream import ChunkWriter, chat_events
from services.gateway.openai.content import prompt_from_messages
from services.gateway.openai.generation import Generation, model_ref, new_completion_id
from services.gateway.openai.response_format import set_form
from services.gateway.sse import SSE_HEADERS

router = APIRouter()
_ROUTE = "/v1/chat/completions"


@router.post(_ROUTE)
async def create_chat_completion(
    body: ChatRequest, request: Request, gateway: GatewayDep, timeout_s: TimeoutDep
) -> Response:
    """Answers a conversation, whole or as a stream; refuses it before any header is sent."""
    message = chat_request_to_proto(body, gateway.config)
    answer = (
        _stream(body, message, gateway, timeout_s)
        if body.stream
        else _whole(body, message, gateway, timeout_s)
    )
    return await unless_disconnected(request, answer)


def chat_request_to_proto(body: ChatRequest, config: GatewayConfig) -> GenerateRequest:
    """The request in the contract's form. Raises BadRequest for what breaks a limit."""
    n = body.n or 1
    max_tokens = body.max_completion_tokens or body.max_tokens
    check_size(n, max_tokens, config)
    sampling = SamplingParams(
        temperature=body.temperature,
        top_p=body.top_p,
        top_k=body.top_k,
        guidance_scale=body.guidance_scale,
        max_tokens=max_tokens,
        seed=body.seed,
        stop=body.stop,
        ignore_eos=body.ignore_eos,
        top_logprobs=body.top_logprobs or 0,
        output=_output_modality(body.modalities),
    )
    set_form(sampling, body.response_format)
    return GenerateRequest(
        request_id=new_completion_id("chatcmpl"),
        model=model_ref(body.model),
        prompt=prompt_from_messages(body.messages, config),
        sampling=sampling,
        n=n,
        priority=PRIORITY_INTERACTIVE,
        stream_deltas=bool(body.stream or body.logprobs),
    )


def check_size(n: int, max_tokens: int | None, config: GatewayConfig) -> None:
    """Raises BadRequest where a request asks for more than one request may."""
    if n > config.max_n:
        raise BadRequest(f"n is {n}; at most {config.max_n}", "n")
    if n * (max_tokens or 0) > config.max_total_tokens:
        raise BadRequest(
            f"n × max_completion_tokens is {n * (max_tokens or 0)}; "
            f"at most {config.max_total_tokens}",
            "max_completion_tokens",
        )


async def _whole(
    body: ChatRequest, message: GenerateRequest, gateway: Gateway, timeout_s: float
) -> Response:
    async with await Generation.start(gateway.backends, message, timeout_s) as generation:
        answer = await gather(generation)
    gateway.metrics.count_tokens(answer.timing)
    choices = [
        chat_choice(sample, answer.logprobs[sample.index] if body.logprobs else None)
        for sample in answer.samples
    ]
    envelope = _envelope(body, generation, "chat.completion")
    return JSONResponse(envelope | {"choices": choices, "usage": usage(answer.timing)})


async def _stream(
    body: ChatRequest, message: GenerateRequest, gateway: Gateway, timeout_s: float
) -> Response:
    watch = StreamWatch(gateway.metrics)
    generation = await Generation.start(gateway.backends, message, timeout_s)
    writer = ChunkWriter(
        _envelope(body, generation, "chat.completion.chunk"),
        logprobs=bool(body.logprobs),
        include_usage=body.include_usage,
    )

    events = chat_events(generation, writer, message.n, watch)
    return StreamingResponse(events, media_type="text/event-stream", headers=SSE_HEADERS)


def _envelope(body: ChatRequest, generation: Generation, kind: str) -> dict[str, Any]:
    return {
        "id": generation.started.request_id,
        "object": kind,
        "created": generation.created_s,
        "model": body.model,
        "system_fingerprint": generation.started.policy_version,
    }


def _output_modality(modalities: list[Any] | None) -> Any:
    if modalities is None or set(modalities) == {"text"}:
        return OUTPUT_MODALITY_TEXT
    return OUTPUT_MODALITY_IMAGE if set(modalities) == {"image"} else OUTPUT_MODALITY_AUTO
