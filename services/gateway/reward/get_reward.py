"""POST /reward/get_reward, which OpenRLHF's --remote_rm_url calls."""

import json
from typing import Any, Self

from fastapi import APIRouter
from pydantic import Field, model_validator

from protos.v1 import reward_model_pb2 as pb
from services.gateway.gateway import GatewayDep, TimeoutDep
from services.gateway.openai.fields import StrictBody, Words, refuse_together
from services.gateway.reward.scores import exchange, likelihood, scores_of

router = APIRouter(prefix="/reward")


class RewardsRequest(StrictBody):
    """`query` holds prompt and answer as one text; `prompts` say where the answer begins."""

    query: list[Words] = Field(min_length=1)
    prompts: list[Words]
    labels: list[Words | None] | None = Field(
        None, description="right answers, for programs that check"
    )

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        for name, values in (("prompts", self.prompts), ("labels", self.labels)):
            if values is not None and len(values) != len(self.query):
                refuse_together(name, f"{len(values)} {name} for {len(self.query)} queries")
        for index, (query, prompt) in enumerate(zip(self.query, self.prompts, strict=True)):
            if not query.startswith(prompt):
                refuse_together("query", f"query[{index}] does not begin with prompts[{index}]")
        return self


@router.post("/get_reward")
async def get_reward(
    body: RewardsRequest, gateway: GatewayDep, timeout_s: TimeoutDep
) -> dict[str, Any]:
    """`rewards` for training, `scores` in 0..1 for filtering, and what else is known to log."""
    labels = body.labels or [None] * len(body.query)
    items = [
        exchange(prompt, query.removeprefix(prompt), index, _reference(label))
        for index, (query, prompt, label) in enumerate(
            zip(body.query, body.prompts, labels, strict=True)
        )
    ]
    scores = await scores_of(items, None, gateway, timeout_s)
    return {
        "rewards": [score.reward for score in scores],
        "scores": [_in_unit(score) for score in scores],
        "extra_logs": _logs(scores),
    }


def _reference(label: str | None) -> str:
    return "" if label is None else json.dumps({"answer": label})


def _in_unit(score: pb.Score) -> float:
    return score.acceptability if score.HasField("acceptability") else likelihood(score.reward)


def _logs(scores: list[pb.Score]) -> dict[str, list[float]]:
    """Numbers that all of them have."""
    logs = {}
    for name, field in (("reward_raw", "reward_raw"), ("reward_std", "std")):
        if all(score.HasField(field) for score in scores):  # type: ignore[arg-type]
            logs[name] = [getattr(score, field) for score in scores]
    return logs
