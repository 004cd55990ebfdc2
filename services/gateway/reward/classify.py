"""POST /reward/classify, as vLLM has it: for clients that read `data[i].probs[-1]` as a reward."""

import time
from typing import Annotated, Any, Self
from uuid import uuid4

from fastapi import APIRouter
from pydantic import Field, model_validator

from protos.v1 import content_pb2
from protos.v1 import reward_model_pb2 as pb
from services.gateway.errors import BadRequest
from services.gateway.gateway import Gateway, GatewayDep, TimeoutDep
from services.gateway.openai.chat_request import ChatMessage
from services.gateway.openai.content import prompt_from_messages
from services.gateway.openai.fields import (
    Ignored,
    ModelName,
    StrictBody,
    Words,
    inert,
    refuse_together,
)
from services.gateway.reward.scores import exchange, likelihood, scores_of

router = APIRouter(prefix="/reward")
_LABEL = "reward"


class ClassifyRequest(StrictBody):
    """Texts, each an answer to nothing, or one conversation that ends with the answer."""

    model: ModelName | None = None
    input: Words | Annotated[list[Words], Field(min_length=1)] | None = None
    messages: list[ChatMessage] | None = Field(None, min_length=2)
    use_activation: bool = Field(True, description="false gives rewards as they are")
    truncate_prompt_tokens: Annotated[object, inert()] = None
    user: Ignored = None
    priority: Ignored = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.input is None) == (self.messages is None):
            refuse_together("input", "send either input or messages")
        return self


@router.post("/classify")
async def classify(
    body: ClassifyRequest, gateway: GatewayDep, timeout_s: TimeoutDep
) -> dict[str, Any]:
    """One entry for each text, or one for the conversation."""
    scores = await scores_of(_items(body, gateway), body.model, gateway, timeout_s)
    return {
        "id": f"classify-{uuid4().hex}",
        "object": "list",
        "created": int(time.time()),
        "model": body.model or gateway.config.reward_model,
        "data": [
            {
                "index": index,
                "label": _LABEL,
                "probs": [likelihood(score.reward) if body.use_activation else score.reward],
                "num_classes": 1,
            }
            for index, score in enumerate(scores)
        ],
    }


def _items(body: ClassifyRequest, gateway: Gateway) -> list[pb.ScoreItem]:
    if body.messages is not None:
        return [_conversation(body.messages, gateway)]
    texts = [body.input] if isinstance(body.input, str) else body.input or []
    return [exchange("", text, index) for index, text in enumerate(texts)]


def _conversation(messages: list[ChatMessage], gateway: Gateway) -> pb.ScoreItem:
    *turns, answer = prompt_from_messages(messages, gateway.config).messages
    if answer.role != content_pb2.ROLE_ASSISTANT:
        raise BadRequest("the last message is what is scored; its role is assistant", "messages")
    return pb.ScoreItem(item_id="0", prompt=content_pb2.Prompt(messages=turns), answer=answer)
