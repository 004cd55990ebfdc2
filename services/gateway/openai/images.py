"""POST /v1/images/generations: pictures drawn token by token from a text.

Beyond OpenAI's fields: `seed` and `guidance_scale` in the request; `id` (for /v1/feedback), `model`
and `system_fingerprint` in the answer. Pictures come as base64 PNG; nothing is kept to link to.
"""

import base64
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import Field

from protos.v1.content_pb2 import Part
from protos.v1.policy_generator_pb2 import PRIORITY_INTERACTIVE, GenerateRequest
from protos.v1.timing_pb2 import Timing
from protos.v1.trajectory_pb2 import OUTPUT_MODALITY_IMAGE, Sample, SamplingParams
from services.common.errors import AttuneError
from services.gateway.disconnect import unless_disconnected
from services.gateway.errors import BadRequest
from services.gateway.gateway import Gateway, GatewayDep, TimeoutDep
from services.gateway.openai.chat_answer import gather
from services.gateway.openai.content import prompt_from_parts
from services.gateway.openai.fields import (
    Count,
    GuidanceScale,
    Ignored,
    ModelName,
    Seed,
    StrictBody,
    Words,
    inert,
)
from services.gateway.openai.generation import (
    Generation,
    finish_reason,
    model_ref,
    new_completion_id,
)
from services.gateway.openai.models import find_model

router = APIRouter()


class ImagesRequest(StrictBody):
    """What the client asks for."""

    prompt: Words = Field(min_length=1, max_length=32_000)
    model: ModelName = "stable"
    n: Count | None = None
    size: str | None = Field(None, pattern=r"^(auto|[1-9][0-9]{0,4}x[1-9][0-9]{0,4})$")
    response_format: Literal["b64_json"] | None = None
    output_format: Literal["png"] | None = None
    seed: Seed | None = None
    guidance_scale: GuidanceScale | None = None

    user: Ignored = None
    safety_identifier: Ignored = None
    background: Annotated[object, inert("auto", "opaque")] = None
    complexity: Annotated[object, inert()] = None
    frame_count: Annotated[object, inert(1)] = None
    frame_duration_ms: Annotated[object, inert()] = None
    moderation: Annotated[object, inert("auto")] = None
    output_compression: Annotated[object, inert(100)] = None
    partial_images: Annotated[object, inert(0)] = None
    quality: Annotated[object, inert("auto", "standard")] = None
    stream: Annotated[object, inert(False)] = None
    style: Annotated[object, inert()] = None
    svg: Annotated[object, inert()] = None


@router.post("/v1/images/generations")
async def create_images(
    body: ImagesRequest, request: Request, gateway: GatewayDep, timeout_s: TimeoutDep
) -> JSONResponse:
    """Draws n pictures of one text."""
    if (body.n or 1) > gateway.config.max_n:
        raise BadRequest(f"n is {body.n}; at most {gateway.config.max_n}", "n")
    return await unless_disconnected(request, _draw(body, gateway, timeout_s))


async def _draw(body: ImagesRequest, gateway: Gateway, timeout_s: float) -> JSONResponse:
    await _check_size(body, gateway, timeout_s)
    message = GenerateRequest(
        request_id=new_completion_id("img"),
        model=model_ref(body.model),
        prompt=prompt_from_parts(Part(text=body.prompt)),
        sampling=SamplingParams(
            seed=body.seed, guidance_scale=body.guidance_scale, output=OUTPUT_MODALITY_IMAGE
        ),
        n=body.n or 1,
        priority=PRIORITY_INTERACTIVE,
    )
    async with await Generation.start(gateway.backends, message, timeout_s) as generation:
        answer = await gather(generation)
    gateway.metrics.count_tokens(answer.timing)
    return JSONResponse(
        {
            "created": generation.created_s,
            "data": [{"b64_json": _picture(sample)} for sample in answer.samples],
            "output_format": "png",
            "usage": _usage(answer.timing),
            "id": generation.started.request_id,
            "model": body.model,
            "system_fingerprint": generation.started.policy_version,
        }
    )


async def _check_size(body: ImagesRequest, gateway: Gateway, timeout_s: float) -> None:
    """Raises BadRequest for a size that the model does not draw."""
    if body.size in (None, "auto"):
        return
    side = (await find_model(body.model, gateway, timeout_s)).limits.output_image_side
    if not side:
        raise BadRequest(f"model {body.model} draws no pictures", "model")
    drawn = f"{side}x{side}"
    if body.size != drawn:
        raise BadRequest(f"size is {body.size}; this model draws {drawn} (or send auto)", "size")


def _picture(sample: Sample) -> str:
    finish_reason(sample)
    pictures = [p.media.data for p in sample.parts if p.WhichOneof("kind") == "media"]
    if not pictures:
        raise AttuneError(f"sample {sample.index} holds no picture")
    return base64.b64encode(pictures[0]).decode()


def _usage(timing: Timing) -> dict[str, Any]:
    return {
        "input_tokens": timing.prompt_tokens,
        "input_tokens_details": {"text_tokens": timing.prompt_tokens, "image_tokens": 0},
        "output_tokens": timing.completion_tokens,
        "total_tokens": timing.prompt_tokens + timing.completion_tokens,
    }
