"""Answers to items, by rollouts in batches that depend on the items and the seed alone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from uuid import uuid4

from protos.v1 import content_pb2, policy_generator_pb2, trajectory_pb2, versions_pb2
from protos.v1.policy_generator_pb2_grpc import PolicyGeneratorStub
from services.common.codecs import prompt_to_proto
from services.common.dataset import Output, TaskItem

ROWS_PER_REQUEST = 128  # answers; what one request keeps in memory is bounded by it
_MODALITY = {
    "text": trajectory_pb2.OUTPUT_MODALITY_TEXT,
    "image": trajectory_pb2.OUTPUT_MODALITY_IMAGE,
}


@dataclass(frozen=True, slots=True)
class SamplingChoice:
    """How answers are sampled; the defaults keep the whole distribution."""

    temperature: float = 1.0
    max_tokens: int = 96
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """One sampled answer; `error` says why it is none."""

    item: TaskItem
    index: int
    message: content_pb2.Message
    num_tokens: int
    policy_version: str
    sampling: trajectory_pb2.SamplingParams
    error: str | None


def sample_answers(
    policy: PolicyGeneratorStub,
    model: versions_pb2.ModelRef,
    items: Sequence[TaskItem],
    samples_per_item: int = 1,
    choice: SamplingChoice = SamplingChoice(),
) -> Iterator[list[Answer]]:
    """Batch after batch, `samples_per_item` answers of each item, in the order of the items.

    Deterministic: the same items, choice and weights give the same answers again.
    """
    size = max(1, ROWS_PER_REQUEST // samples_per_item)
    for output in ("text", "image"):
        alike = [item for item in items if item.output == output]
        for start in range(0, len(alike), size):
            batch = alike[start : start + size]
            yield _rollout(policy, model, batch, samples_per_item, choice)


def _rollout(
    policy: PolicyGeneratorStub,
    model: versions_pb2.ModelRef,
    items: list[TaskItem],
    samples_per_item: int,
    choice: SamplingChoice,
) -> list[Answer]:
    request = policy_generator_pb2.RolloutRequest(
        request_id=uuid4().hex,
        model=model,
        prompts=[_rollout_prompt(item) for item in items],
        samples_per_prompt=samples_per_item,
        sampling=_sampling(items, choice),
        deterministic=True,
        return_parts=True,
    )
    groups = {
        event.group.group_id: event.group
        for event in policy.Rollout(request)
        if event.WhichOneof("event") == "group"
    }
    return [
        _answer(item, groups[item.item_id], sample)
        for item in items
        for sample in sorted(groups[item.item_id].samples, key=lambda s: s.index)
    ]


def _rollout_prompt(item: TaskItem) -> policy_generator_pb2.RolloutPrompt:
    prompt = prompt_to_proto(item.conversation)
    return policy_generator_pb2.RolloutPrompt(group_id=item.item_id, prompt=prompt)


def _sampling(items: list[TaskItem], choice: SamplingChoice) -> trajectory_pb2.SamplingParams:
    output: Output = items[0].output
    return trajectory_pb2.SamplingParams(
        temperature=choice.temperature,
        max_tokens=choice.max_tokens if output == "text" else None,
        seed=_batch_seed(choice.seed, items),
        output=_MODALITY[output],
    )


def _batch_seed(seed: int, items: list[TaskItem]) -> int:
    """Batches draw from different streams, and the same batch always from the same."""
    name = f"{seed} {items[0].item_id} {len(items)}"
    return int.from_bytes(sha256(name.encode()).digest()[:6], "big")


def _answer(item: TaskItem, group: trajectory_pb2.Group, sample: trajectory_pb2.Sample) -> Answer:
    is_failed = sample.finish_reason in (
        trajectory_pb2.FINISH_REASON_FAILED,
        trajectory_pb2.FINISH_REASON_CANCELLED,
    )
    spans = sample.version_spans
    return Answer(
        item=item,
        index=sample.index,
        message=content_pb2.Message(role=content_pb2.ROLE_ASSISTANT, parts=sample.parts),
        num_tokens=len(sample.token_ids),
        policy_version=spans[-1].policy_version if spans else "",
        sampling=group.sampling,
        error=(sample.error or "the sample was not finished") if is_failed else None,
    )
