"""Asks the reward service for scores, under one pinned reward version (laws 1 and 3)."""

import json
from collections.abc import Sequence

import grpc

from protos.v1 import content_pb2, reward_model_pb2_grpc, trajectory_pb2
from protos.v1 import reward_model_pb2 as pb
from protos.v1.versions_pb2 import ModelRef
from services.common.blending import BLEND_AGGREGATIONS
from services.common.codecs import prompt_to_proto
from services.common.dataset import TaskItem
from services.common.errors import FailedPrecondition, NotFound
from services.trainer.patience import Patience
from services.trainer.recipe_sections import ModelChoice, RewardChoice

_ITEMS_PER_CALL = 256


class ScoreClient:
    """Scores samples with one version; a run pins it, since scores of two cannot be compared."""

    def __init__(self, channel: grpc.Channel, patience: Patience) -> None:
        self._stub = reward_model_pb2_grpc.RewardModelStub(channel)
        self._patience = patience

    def pin(self, choice: RewardChoice, request_id: str) -> str:
        """The version that a recipe's choice means now, made resident."""
        if choice.version is not None:
            return choice.version
        if choice.alias is not None:
            return self._resolve(choice.alias)
        request = pb.LoadModelRequest(request_id=request_id)
        if choice.user_scorer is not None:
            scorer = choice.user_scorer
            request.user_scorer.CopyFrom(
                pb.UserScorer(
                    file=str(scorer.file), function=scorer.function, deadline_s=scorer.deadline_s
                )
            )
        for term in choice.blend or ():
            request.blend.terms.append(pb.BlendTerm(model=_ref(term), weight=term.weight))
        if choice.blend_rule is not None:
            request.blend.aggregation = BLEND_AGGREGATIONS[choice.blend_rule.aggregation]
            request.blend.std_weight = choice.blend_rule.std_weight
        load = self._stub.LoadModel
        loaded = self._patience.call(
            "the reward service's LoadModel", lambda t: load(request, timeout=t)
        )
        return loaded.model.name

    def score(
        self,
        items: Sequence[TaskItem],
        groups: Sequence[trajectory_pb2.Group],
        reward_version: str,
        policy_version: str,
        request_id: str,
    ) -> dict[str, pb.Score]:
        """Scores by sample id. Raises FailedPrecondition if another version scored."""
        wanted = [
            _score_item(item, sample)
            for item, group in zip(items, groups, strict=True)
            for sample in group.samples
        ]
        scores: dict[str, pb.Score] = {}
        for start in range(0, len(wanted), _ITEMS_PER_CALL):
            request = pb.ScoreRequest(
                request_id=f"{request_id}/{start}",
                model=ModelRef(version=reward_version),
                items=wanted[start : start + _ITEMS_PER_CALL],
                deterministic=True,
                policy_version=policy_version,
                lane=pb.LANE_TRAINING,
            )
            scores |= self._score(request, reward_version)
        return scores

    def _score(self, request: pb.ScoreRequest, reward_version: str) -> dict[str, pb.Score]:
        score = self._stub.Score
        response = self._patience.call(
            "the reward service's Score", lambda t: score(request, timeout=t)
        )
        if response.reward_version != reward_version:
            raise FailedPrecondition(
                f"{response.reward_version} scored, the run is pinned to {reward_version}"
            )
        return {s.item_id: s for s in response.scores}

    def _resolve(self, alias: str) -> str:
        listed = self._patience.call(
            "the reward service's ListModels",
            lambda t: self._stub.ListModels(pb.ListModelsRequest(), timeout=t),
        )
        for state in listed.aliases:
            if state.alias == alias:
                return state.version
        known = ", ".join(state.alias for state in listed.aliases) or "none"
        raise NotFound(f"no reward alias {alias!r}; there are: {known}")


def _ref(choice: ModelChoice) -> ModelRef:
    if choice.version is not None:
        return ModelRef(version=choice.version)
    return ModelRef(alias=choice.alias or "")


def _score_item(item: TaskItem, sample: trajectory_pb2.Sample) -> pb.ScoreItem:
    return pb.ScoreItem(
        item_id=sample.sample_id,
        prompt=prompt_to_proto(item.conversation),
        answer=content_pb2.Message(role=content_pb2.ROLE_ASSISTANT, parts=sample.parts),
        reference_json=json.dumps(item.reference),
        task=item.family,
    )
