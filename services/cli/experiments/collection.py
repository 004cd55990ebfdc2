"""The policy's own answers to items, stored as candidates to be judged in pairs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from protos.v1 import feedback_log_pb2
from services.cli.evaluation.sampling import Answer, SamplingChoice, sample_answers
from services.cli.evaluation.scorecard import model_ref
from services.cli.stack.connection import Services
from services.common.codecs import prompt_to_proto
from services.common.dataset import TaskItem


@dataclass(frozen=True, eq=False)
class JudgedItem:
    """An item with the answers that are judged; `split` is the feedback log's."""

    item_id: str
    item: TaskItem
    answers: tuple[Answer, ...]
    split: str

    def candidate_id(self, index: int) -> str:
        """The id of an answer."""
        return f"{self.item_id}/{index}"


@dataclass(frozen=True, slots=True)
class Collection:
    """Whose answers are collected, how many to an item, and how they are sampled."""

    model: str
    samples_per_item: int
    choice: SamplingChoice


def collect(
    services: Services,
    collection: Collection,
    project: str,
    split: str,
    items: Sequence[TaskItem],
    on_done: Callable[[int], None],
) -> list[JudgedItem]:
    """Several answers to each item; `on_done` hears of answers made."""
    by_item: dict[str, list[Answer]] = {}
    model, samples = model_ref(collection.model), collection.samples_per_item
    for answers in sample_answers(services.policy, model, items, samples, collection.choice):
        on_done(len(answers))
        for answer in answers:
            if answer.error is None:
                by_item.setdefault(answer.item.item_id, []).append(answer)
    return [
        JudgedItem(f"{project}/{item.item_id}", item, tuple(by_item[item.item_id]), split)
        for item in items
        if item.item_id in by_item
    ]


def to_proto(judged: Sequence[JudgedItem], project: str) -> list[feedback_log_pb2.Item]:
    """As the feedback service stores them. What a checker would need is not among it."""
    return [
        feedback_log_pb2.Item(
            item_id=j.item_id,
            project=project,
            prompt=prompt_to_proto(j.item.conversation),
            candidates=[_candidate(j, index) for index in range(len(j.answers))],
            task=j.item.family,
            split=j.split,
            group_key=j.item.item_id,
        )
        for j in judged
    ]


def _candidate(judged: JudgedItem, index: int) -> feedback_log_pb2.Candidate:
    answer = judged.answers[index]
    return feedback_log_pb2.Candidate(
        candidate_id=judged.candidate_id(index),
        answer=answer.message,
        policy_version=answer.policy_version,
        sample_index=answer.index,
        sampling=answer.sampling,
    )
