"""Between protobuf and the scorers' own values."""

from collections.abc import Sequence

from pydantic import ValidationError

from protos.v1 import reward_model_pb2 as pb
from protos.v1 import timing_pb2, versions_pb2
from services.common.blending import BLEND_AGGREGATIONS, BlendAggregation
from services.common.codecs import conversation_from_proto, turn_from_proto
from services.common.errors import AttuneError, InvalidArgument
from services.reward.aliases import AliasEntry
from services.reward.scorers.blend_rule import BlendRule
from services.reward.scorers.contract import (
    CallTiming,
    Comparability,
    Lane,
    Outcome,
    ScorerInfo,
    ScoreStatus,
    ScoringItem,
)

_LANES = {
    pb.LANE_UNSPECIFIED: Lane.TRAINING,
    pb.LANE_TRAINING: Lane.TRAINING,
    pb.LANE_INTERACTIVE: Lane.INTERACTIVE,
    pb.LANE_BACKFILL: Lane.BACKFILL,
}
_STATUSES = {
    ScoreStatus.SCORED: pb.SCORE_STATUS_SCORED,
    ScoreStatus.FAILED: pb.SCORE_STATUS_FAILED,
    ScoreStatus.TIMEOUT: pb.SCORE_STATUS_TIMEOUT,
    ScoreStatus.ABSTAIN: pb.SCORE_STATUS_ABSTAIN,
    ScoreStatus.REJECTED: pb.SCORE_STATUS_REJECTED,
}
_AGGREGATIONS: dict["pb.Aggregation.ValueType", BlendAggregation] = {
    pb.AGGREGATION_UNSPECIFIED: "sum",
    **{number: name for name, number in BLEND_AGGREGATIONS.items()},
}
_COMPARABILITIES: dict[Comparability, "pb.Comparability.ValueType"] = {
    "within_prompt": pb.COMPARABILITY_WITHIN_PROMPT,
    "global": pb.COMPARABILITY_GLOBAL,
}


def items_from_proto(items: Sequence[pb.ScoreItem]) -> list[ScoringItem | Outcome]:
    """Each item, or its rejection."""
    return [_item_from_proto(item) for item in items]


def lane_from_proto(lane: "pb.Lane.ValueType") -> Lane:
    """Raises InvalidArgument for a lane that a newer client may know."""
    if lane not in _LANES:
        raise InvalidArgument(f"lane {int(lane)} is unknown; use training, interactive or backfill")
    return _LANES[lane]


def blend_rule_from_proto(blend: pb.Blend) -> BlendRule:
    """Raises InvalidArgument for a rule that is unknown or has a weight that is not its own."""
    if blend.aggregation not in _AGGREGATIONS:
        raise InvalidArgument(
            f"aggregation {int(blend.aggregation)} is unknown; use sum, mean, min or mean_minus_std"
        )
    try:
        return BlendRule(aggregation=_AGGREGATIONS[blend.aggregation], std_weight=blend.std_weight)
    except ValidationError as error:
        raise InvalidArgument(f"the blend's rule: {error.errors()[0]['msg']}") from error


def score_to_proto(item_id: str, outcome: Outcome, version: str, want: pb.ScoreOutputs) -> pb.Score:
    """One score; optional outputs only if they are wanted."""
    return pb.Score(
        item_id=item_id,
        status=_STATUSES[outcome.status],
        reward=outcome.reward,
        reward_raw=outcome.reward_raw,
        std=outcome.std,
        acceptability=outcome.acceptability,
        subscores=outcome.subscores if want.subscores else {},
        rationale=outcome.rationale if want.rationale else "",
        reward_version=version,
        error=outcome.error,
    )


def comparability_to_proto(comparability: Comparability) -> "pb.Comparability.ValueType":
    """Whether rewards may be compared across prompts."""
    return _COMPARABILITIES[comparability]


def timing_to_proto(timing: CallTiming, total_s: float) -> timing_pb2.Timing:
    """The timing block of an answer."""
    return timing_pb2.Timing(
        total_s=total_s,
        queue_s=timing.queue_s,
        preprocess_s=timing.preprocess_s,
        compute_s=timing.compute_s,
        prompt_tokens=timing.num_tokens,
    )


def info_to_proto(info: ScorerInfo, aliases: Sequence[str]) -> pb.RewardVersion:
    """A resident scorer as lists show it."""
    return pb.RewardVersion(
        name=info.name,
        scorer=info.kind,
        aliases=aliases,
        comparability=_COMPARABILITIES[info.comparability],
        preprocessing_fingerprint=info.fingerprint,
        metadata=info.metadata,
    )


def alias_to_proto(entry: AliasEntry) -> versions_pb2.AliasState:
    """An alias as lists show it."""
    return versions_pb2.AliasState(alias=entry.alias, version=entry.name, epoch=entry.epoch)


def _item_from_proto(item: pb.ScoreItem) -> ScoringItem | Outcome:
    try:
        return ScoringItem(
            item_id=item.item_id,
            conversation=conversation_from_proto(item.prompt, _refuse_hash),
            answer=turn_from_proto(item.answer, _refuse_hash),
            task=item.task,
            reference_json=item.reference_json,
            reference_answers=tuple(
                turn_from_proto(answer, _refuse_hash) for answer in item.reference_answers
            ),
            metadata=dict(item.metadata),
        )
    except AttuneError as error:
        return Outcome.not_scored(ScoreStatus.REJECTED, str(error))


def _refuse_hash(sha256: str) -> bytes:
    raise InvalidArgument(
        f"media {sha256[:12]}… came by hash; the reward service keeps no media, send the bytes"
    )
