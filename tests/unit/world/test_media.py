"""Sound and clips as encoded and decoded again, by the standard library and by Pillow."""

import io
import wave

import numpy as np
import pytest
from PIL import Image

from models.preprocessing.audio import encode_wav
from models.preprocessing.conversation import Audio, Picture, Text, Video
from services.common.world.media import Clip, Speech, encode_gif, encoded
from services.common.world.speech.synthesizer import SAMPLE_RATE_HZ
from services.common.world.speech.voices import voice_of


def decoded_frames(data):
    """[(pixels, milliseconds)] of a GIF."""
    with Image.open(io.BytesIO(data)) as gif:
        frames = []
        for index in range(gif.n_frames):
            gif.seek(index)
            frames.append((np.asarray(gif.convert("RGB")), gif.info["duration"]))
        return frames


def test_sound_is_16_bit_mono_at_16_khz():
    samples = np.array([0.0, 0.5, -1.0, 1.0], np.float32)
    with wave.open(io.BytesIO(encode_wav(samples, 16_000))) as recording:
        assert recording.getnchannels() == 1
        assert recording.getsampwidth() == 2
        assert recording.getframerate() == SAMPLE_RATE_HZ == 16_000
        values = np.frombuffer(recording.readframes(10), "<i2")
    assert values.tolist() == [0, 16384, -32768, 32767]


def test_a_clip_keeps_its_pixels_and_durations_even_where_frames_are_equal():
    rng = np.random.default_rng(0)
    palette = rng.integers(0, 256, (128, 3), np.uint8)
    palette[:, 0] = np.arange(128)
    frames = palette[rng.integers(0, 128, (8, 32, 32))]
    frames[3] = frames[2] = frames[4]
    found = decoded_frames(encode_gif(Clip(frames, 250)))
    assert [duration for _, duration in found] == [250] * 8
    assert np.array_equal(np.stack([pixels for pixels, _ in found]), frames)


def test_a_clip_that_stands_still_has_all_its_frames():
    frames = np.full((8, 32, 32, 3), 138, np.uint8)
    found = decoded_frames(encode_gif(Clip(frames, 200)))
    assert [(pixels == 138).all() and duration for pixels, duration in found] == [200] * 8


def test_a_clip_of_too_many_colors_is_refused_rather_than_changed():
    frames = np.zeros((1, 32, 32, 3), np.uint8)
    frames[0, :5, :, 0] = np.arange(160).reshape(5, 32)
    with pytest.raises(ValueError, match="the clip has 160 colors; at most 128"):
        encode_gif(Clip(frames, 100))


def test_each_content_becomes_its_part():
    pixels = np.zeros((32, 32, 3), np.uint8)
    contents = ["hi", pixels, Speech("hi", voice_of("a"), 0), Clip(pixels[None], 100)]
    assert [type(encoded(content)) for content in contents] == [Text, Picture, Audio, Video]
