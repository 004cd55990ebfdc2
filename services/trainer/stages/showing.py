"""Picks samples of a step for people to look at and hear: prompt, answer, media, reward."""

from collections.abc import Iterator, Mapping, Sequence

from models.preprocessing.conversation import Audio, Conversation, Picture, Text, Video
from protos.v1 import media_pb2, reward_model_pb2, trajectory_pb2
from protos.v1 import training_orchestrator_pb2 as pb
from services.common.codecs import medium_to_proto
from services.common.dataset import TaskItem
from services.trainer.run_context import RunContext

_MAX_SHOWN_BYTES = 1 << 20


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
        run.show(sample_shown(item, sample, scores.get(sample.sample_id)))


def sample_shown(
    item: TaskItem, sample: trajectory_pb2.Sample, score: reward_model_pb2.Score | None
) -> pb.SampleShown:
    """One answer beside what was asked, with its reward if it has one."""
    shown = pb.SampleShown(
        task=item.family,
        prompt_text=_text(item.conversation),
        prompt_image_png=_picture(item.conversation),
        prompt_media=_sound_and_clips(item.conversation),
        answer_text=" ".join(part.text for part in sample.parts if part.text),
        answer_image_png=next((p.media.data for p in sample.parts if p.media.data), b""),
    )
    if score is not None and score.HasField("reward"):
        shown.reward = score.reward
    return shown


def _sound_and_clips(conversation: Conversation) -> Iterator[media_pb2.Media]:
    """With their bytes, unless the run's events would swell by them."""
    for turn in conversation:
        for part in turn.parts:
            if isinstance(part, Audio | Video):
                media = medium_to_proto(part)
                if len(part.data) > _MAX_SHOWN_BYTES:
                    media.ClearField("data")
                yield media


def _text(conversation: Conversation) -> str:
    texts = (part.text for turn in conversation for part in turn.parts if isinstance(part, Text))
    return "\n".join(texts)


def _picture(conversation: Conversation) -> bytes:
    pictures = (p.data for turn in conversation for p in turn.parts if isinstance(p, Picture))
    return next(pictures, b"")
