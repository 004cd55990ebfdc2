"""POST /reward/rerank and /reward/predict, as Text Embeddings Inference has them.

What is too long is refused, never cut: a reward for half an answer would be a reward for another.
"""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field

from protos.v1 import reward_model_pb2 as pb
from services.gateway.gateway import GatewayDep, TimeoutDep
from services.gateway.openai.fields import StrictBody, Words, inert
from services.gateway.reward.scores import exchange, likelihood, scores_of

router = APIRouter(prefix="/reward")
_LABEL = "reward"
Pair = Annotated[list[Words], Field(min_length=1, max_length=2)]
_Inputs = str | list[str] | list[list[str]]


class _Settings(StrictBody):
    raw_scores: bool = Field(False, description="rewards themselves, not their logistic function")
    truncate: Annotated[object, inert(False)] = None
    truncation_direction: Annotated[object, inert("right", "left", "Right", "Left")] = None


class RerankRequest(_Settings):
    """Answers to one prompt; the best comes first."""

    query: Words
    texts: list[Words] = Field(min_length=1)
    return_text: bool = False


class PredictRequest(_Settings):
    """One text, a pair of prompt and answer, or a batch of lists of one or two texts."""

    inputs: (
        Words
        | Annotated[list[Words], Field(min_length=2, max_length=2)]
        | Annotated[list[Pair], Field(min_length=1)]
    )


@router.post("/rerank")
async def rerank(
    body: RerankRequest, gateway: GatewayDep, timeout_s: TimeoutDep
) -> list[dict[str, Any]]:
    """All answers, from the best to the worst."""
    items = [exchange(body.query, text, index) for index, text in enumerate(body.texts)]
    scores = await scores_of(items, None, gateway, timeout_s)
    ranked = [
        {"index": index, "score": _number(score, body)}
        | ({"text": body.texts[index]} if body.return_text else {})
        for index, score in enumerate(scores)
    ]
    return sorted(ranked, key=lambda one: -one["score"])


@router.post("/predict")
async def predict(body: PredictRequest, gateway: GatewayDep, timeout_s: TimeoutDep) -> list[Any]:
    """For one input a list of one prediction, for a batch such a list each."""
    batch = _batch(body.inputs)
    items = [exchange(*_prompt_and_answer(pair), index) for index, pair in enumerate(batch)]
    scores = await scores_of(items, None, gateway, timeout_s)
    predictions = [[{"score": _number(score, body), "label": _LABEL}] for score in scores]
    return predictions if _is_batch(body.inputs) else predictions[0]


def _batch(inputs: _Inputs) -> list[list[str]]:
    if isinstance(inputs, str):
        return [[inputs]]
    lists = [one for one in inputs if isinstance(one, list)]
    return lists or [[one for one in inputs if isinstance(one, str)]]


def _is_batch(inputs: _Inputs) -> bool:
    return not isinstance(inputs, str) and isinstance(inputs[0], list)


def _prompt_and_answer(pair: list[str]) -> tuple[str, str]:
    """A text by itself is an answer to nothing."""
    return (pair[0], pair[1]) if len(pair) == 2 else ("", pair[0])


def _number(score: pb.Score, settings: _Settings) -> float:
    return score.reward if settings.raw_scores else likelihood(score.reward)
