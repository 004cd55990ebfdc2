"""What people see and hear of a sample."""

from models.preprocessing.conversation import Audio, Picture, Role, Text, Turn, Video
from protos.v1.content_pb2 import Part
from protos.v1.media_pb2 import MODALITY_AUDIO, MODALITY_VIDEO
from protos.v1.reward_model_pb2 import Score
from protos.v1.trajectory_pb2 import Sample
from services.common.dataset import TaskItem
from services.trainer.stages.showing import sample_shown
from tests.support.pictures import png
from tests.support.sound_and_clips import moving_square, tone


def asked(*parts) -> TaskItem:
    return TaskItem("1", "speech", "train", (Turn(Role.USER, parts),), None, {}, "text")


ANSWER = Sample(parts=[Part(text="to the right")])


def test_recordings_and_clips_of_a_prompt_come_in_order_beside_its_picture():
    parts = (Video(moving_square()), Picture(png()), Text("which way?"), Audio(tone()))
    shown = sample_shown(asked(*parts), ANSWER, Score(reward=0.5))
    assert shown.prompt_image_png == png()
    assert [m.modality for m in shown.prompt_media] == [MODALITY_VIDEO, MODALITY_AUDIO]
    assert [m.data for m in shown.prompt_media] == [moving_square(), tone()]
    assert (shown.prompt_text, shown.answer_text, shown.reward) == (
        "which way?",
        "to the right",
        0.5,
    )


def test_a_recording_that_would_swell_the_events_is_named_without_its_bytes():
    shown = sample_shown(asked(Audio(tone(seconds=40))), ANSWER, None)
    [recording] = shown.prompt_media
    assert (recording.mime_type, recording.WhichOneof("source")) == ("audio/wav", None)
    assert not shown.HasField("reward")
