"""What `attune bench media` sends: media that decode, new each time, of the kinds a model takes."""

import numpy as np

from models.preprocessing.decoding import MediaSettings, decode_medium
from protos.v1 import media_pb2
from services.cli.bench.cases import media_cases

ALL = {
    media_pb2.MODALITY_TEXT,
    media_pb2.MODALITY_IMAGE,
    media_pb2.MODALITY_AUDIO,
    media_pb2.MODALITY_VIDEO,
}


def test_every_medium_decodes_and_none_is_sent_twice():
    rng = np.random.default_rng(0)
    cases = media_cases((0.5, 2.0), ALL)
    assert [case.name for case in cases] == [
        "text", "picture", "recording, 0.5 s", "recording, 2 s", "clip, 2 s",
    ]  # fmt: skip
    for make in filter(None, (case.make for case in cases)):
        first, second = make(rng), make(rng)
        assert first.data != second.data
        decode_medium(first, MediaSettings())


def test_a_model_is_sent_what_it_takes():
    taken = {media_pb2.MODALITY_TEXT, media_pb2.MODALITY_IMAGE}
    assert [case.name for case in media_cases((1.0,), taken)] == ["text", "picture"]
