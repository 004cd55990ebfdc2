"""Picks samples of a step for people to look at: prompt, answer, pictures, reward."""

from collections.abc import Mapping, Sequence

from models.preprocessing.conversation import Conversation, Picture, Text
from protos.v1 import reward_model_pb2, trajectory_pb2
from protos.v1 import training_orchestrator_pb2 as pb
from services.common.dataset import TaskItem
from services.trainer.run_context import RunContext


def show_samples(
    run: RunContext,
    items: Sequence[TaskItem],
    groups: Sequence[trajectory_pb2.Group],
    scores: Mapping[str, reward_model_pb2.Score],
    count: int,
) -> None:
    """The first sample of each of the first `count` groups."""
    for item, group in list(zip(items, groups, strict=True))[:count]:
        sample = group.samples[0]
        shown = pb.SampleShown(
            task=item.family,
            prompt_text=_text(item.conversation),
            prompt_image_png=_picture(item.conversation),
            answer_text=" ".join(part.text for part in sample.parts if part.text),
            answer_image_png=next((p.media.data for p in sample.parts if p.media.data), b""),
        )
        score = scores.get(sample.sample_id)
        if score is not None and score.HasField("reward"):
            shown.reward = score.reward
        run.show(shown)


def _text(conversation: Conversation) -> str:
    texts = (part.text for turn in conversation for part in turn.parts if isinstance(part, Text))
    return "\n".join(texts)


def _picture(conversation: Conversation) -> bytes:
    pictures = (p.data for turn in conversation for p in turn.parts if isinstance(p, Picture))
    return next(pictures, b"")
