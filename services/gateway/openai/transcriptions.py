"""POST /v1/audio/transcriptions: what is said in a recording, written down.

The policy is asked as in a chat, with the recording and the word for it that it was trained on.
Beyond OpenAI's fields the answer has `id` (for /v1/feedback), `model` and `system_fingerprint`.
"""

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse

from protos.v1.content_pb2 import Part
from protos.v1.media_pb2 import Media
from protos.v1.policy_generator_pb2 import PRIORITY_INTERACTIVE, GenerateRequest
from protos.v1.timing_pb2 import Timing
from protos.v1.trajectory_pb2 import OUTPUT_MODALITY_TEXT, SamplingParams
from services.common.errors import AttuneError
from services.common.media_facts import recording_seconds
from services.gateway.config import GatewayConfig
from services.gateway.disconnect import unless_disconnected
from services.gateway.errors import BadRequest, error_body
from services.gateway.gateway import Gateway, GatewayDep, TimeoutDep
from services.gateway.metrics import StreamWatch
from services.gateway.openai.chat_answer import content, gather
from services.gateway.openai.content import prompt_from_parts
from services.gateway.openai.generation import (
    Generation,
    finish_reason,
    model_ref,
    new_completion_id,
)
from services.gateway.openai.media import RECORDING, check_size
from services.gateway.openai.transcription_form import TranscriptionForm
from services.gateway.sse import SSE_HEADERS, sse_event

router = APIRouter()
_INSTRUCTION = "transcribe."


@router.post("/v1/audio/transcriptions")
async def create_transcription(
    form: Annotated[TranscriptionForm, Form(media_type="multipart/form-data")],
    request: Request,
    gateway: GatewayDep,
    timeout_s: TimeoutDep,
) -> Response:
    """Answers with the transcript, whole or as it is written."""
    recording = await _recording(form, gateway.config)
    message = _request(form, recording)
    answer = (
        _stream(message, gateway, timeout_s)
        if form.stream
        else _whole(form, message, recording, gateway, timeout_s)
    )
    return await unless_disconnected(request, answer)


async def _recording(form: TranscriptionForm, config: GatewayConfig) -> Media:
    """The file. Raises BadRequest for one that is empty or too large."""
    check_size(form.file.size or 0, RECORDING, "file", config.max_audio_mib << 20)
    data = await form.file.read()
    if not data:
        raise BadRequest("the file is empty; expected a recording", "file")
    return Media(modality=RECORDING.modality, data=data)


def _request(form: TranscriptionForm, recording: Media) -> GenerateRequest:
    return GenerateRequest(
        request_id=new_completion_id("transcript"),
        model=model_ref(form.model),
        prompt=prompt_from_parts(Part(media=recording), Part(text=_INSTRUCTION)),
        sampling=SamplingParams(temperature=form.temperature, output=OUTPUT_MODALITY_TEXT),
        n=1,
        priority=PRIORITY_INTERACTIVE,
        stream_deltas=form.stream,
    )


async def _whole(
    form: TranscriptionForm,
    message: GenerateRequest,
    recording: Media,
    gateway: Gateway,
    timeout_s: float,
) -> Response:
    async with await Generation.start(gateway.backends, message, timeout_s) as generation:
        answer = await gather(generation)
    gateway.metrics.count_tokens(answer.timing)
    (sample,) = answer.samples
    finish_reason(sample)
    text = content(sample.parts)
    if form.response_format == "text":
        return PlainTextResponse(f"{text}\n")
    body: dict[str, Any] = {
        "text": text,
        "usage": _usage(answer.timing),
        "id": generation.started.request_id,
        "model": form.model,
        "system_fingerprint": generation.started.policy_version,
    }
    if form.response_format == "verbose_json":
        body |= {
            "task": "transcribe",
            "language": "english",
            "duration": recording_seconds(recording.data),
        }
    return JSONResponse(body)


async def _stream(message: GenerateRequest, gateway: Gateway, timeout_s: float) -> Response:
    watch = StreamWatch(gateway.metrics)
    generation = await Generation.start(gateway.backends, message, timeout_s)
    events = _events(generation, watch)
    return StreamingResponse(events, media_type="text/event-stream", headers=SSE_HEADERS)


async def _events(generation: Generation, watch: StreamWatch) -> AsyncIterator[bytes]:
    """The body of the response; ends the call when the client leaves."""
    text = ""
    async with generation:
        try:
            async for response in generation:
                watch(response)
                match response.WhichOneof("event"):
                    case "delta" if response.delta.text:
                        text += response.delta.text
                        yield _event("delta", delta=response.delta.text)
                    case "finished":
                        finish_reason(response.finished)
                    case "done":
                        yield _event("done", text=text, usage=_usage(response.done.timing))
        except AttuneError as error:
            yield sse_event(error_body(error))


def _event(kind: str, **fields: Any) -> bytes:
    return sse_event({"type": f"transcript.text.{kind}", **fields})


def _usage(timing: Timing) -> dict[str, Any]:
    return {
        "type": "tokens",
        "input_tokens": timing.prompt_tokens,
        "output_tokens": timing.completion_tokens,
        "total_tokens": timing.prompt_tokens + timing.completion_tokens,
    }
