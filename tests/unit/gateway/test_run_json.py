"""Runs and events as the page reads them."""

import json
import math

from protos.v1.media_pb2 import MODALITY_AUDIO, MODALITY_VIDEO, Media
from protos.v1.training_orchestrator_pb2 import Run, RunEvent, SampleShown, StepMetrics
from services.gateway.web.run_json import event_to_json, run_to_json
from tests.support.pictures import png
from tests.support.sound_and_clips import moving_square, tone


def test_what_is_not_a_number_becomes_null_so_that_browsers_can_read_it():
    values = {"loss": math.nan, "kl": math.inf, "reward_mean": 0.5}
    event = event_to_json(RunEvent(sequence=3, step=2, metrics=StepMetrics(values=values)))
    assert event["metrics"] == {"loss": None, "kl": None, "reward_mean": 0.5}
    assert (event["kind"], event["sequence"], event["step"]) == ("metrics", 3, 2)
    json.dumps(event, allow_nan=False)


def test_only_a_png_is_shown_as_a_picture():
    sample = SampleShown(answer_image_png=b"<svg onload=alert(1)>", prompt_image_png=png(side=4))
    shown = event_to_json(RunEvent(sample=sample))["sample"]
    assert shown["answer_image"] is None
    assert shown["prompt_image"].startswith("data:image/png;base64,")
    assert shown["reward"] is None


def test_recordings_and_clips_are_played_as_what_they_are_and_nothing_else_is():
    audio, video = MODALITY_AUDIO, MODALITY_VIDEO
    media = [
        Media(modality=audio, data=tone(), mime_type="text/html"),
        Media(modality=video, data=moving_square()),
        Media(modality=video, data=b"<svg onload=alert(1)>", mime_type="video/mp4"),
        Media(modality=audio, data=png(side=4)),
        Media(modality=audio, mime_type="audio/wav"),  # its bytes were too many
    ]
    shown = event_to_json(RunEvent(sample=SampleShown(prompt_media=media)))["sample"]
    kinds = [medium["kind"] for medium in shown["prompt_media"]]
    assert kinds == ["recording", "clip", "clip", "recording", "recording"]
    first, second, *others = [medium["url"] for medium in shown["prompt_media"]]
    assert first.startswith("data:audio/wav;base64,")
    assert second.startswith("data:image/gif;base64,")
    assert others == [None, None, None]


def test_a_reward_of_zero_is_a_reward():
    assert event_to_json(RunEvent(sample=SampleShown(reward=0.0)))["sample"]["reward"] == 0


def test_a_run_names_its_state_in_words():
    assert run_to_json(Run(run_id="a", state=Run().state))["state"] == "unspecified"
