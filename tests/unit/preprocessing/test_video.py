"""Clips: which frames are taken and when they are shown, and every file that is refused."""

import numpy as np
import pytest

from models.preprocessing.media_error import MediaError
from models.preprocessing.video import VideoLimits, frames_from_video
from tests.support.clips import (
    clip,
    colours,
    gif,
    gif_of_size,
    mp4_claiming,
    mp4_hiding_its_size,
    mp4_turned,
    webm_of_unknown_length,
    webm_that_grows,
)
from tests.support.pictures import png

RNG = np.random.default_rng(0)
CODECS = [
    *(("mp4", "libx264"), ("mp4", "mpeg4"), ("mp4", "libx265"), ("webm", "libvpx")),
    ("webm", "libvpx-vp9"),
]


@pytest.mark.parametrize(("kind", "codec"), CODECS)
def test_every_codec_gives_the_frames_at_their_times(kind, codec):
    frames = colours(5, side=64)
    read = frames_from_video(clip(frames, kind, codec=codec), 64, 8)
    assert read.frames.dtype == np.uint8
    assert read.times_s.dtype == np.float32
    np.testing.assert_allclose(read.times_s, [0, 0.1, 0.2, 0.3, 0.4], atol=1e-6)
    np.testing.assert_allclose(read.frames.astype(int), frames, atol=8)


@pytest.mark.parametrize("kind", ["mp4", "webm"])
def test_many_frames_are_thinned_evenly_from_first_to_last(kind):
    read = frames_from_video(clip(colours(31), kind), 32, 4)
    np.testing.assert_allclose(read.times_s, [0, 1, 2, 3], atol=1e-6)
    blue = colours(31)[[0, 10, 20, 30], 0, 0, 2]
    np.testing.assert_allclose(read.frames[:, 16, 16, 2], blue, atol=8)


def test_one_frame_of_many_is_the_first():
    read = frames_from_video(gif(colours(5)), 32, 1)
    assert (read.frames == colours(5)[:1]).all()


def test_a_gif_of_the_tiles_size_is_exact_to_the_pixel_and_the_hundredth():
    frames = RNG.choice(np.array([0, 60, 200], np.uint8), (8, 32, 32, 3))
    read = frames_from_video(gif(frames, [100, 70, 50, 20, 10, 30, 300, 40]), 32, 8)
    np.testing.assert_array_equal(read.frames, frames)
    times_s = np.array([0, 0.1, 0.17, 0.22, 0.24, 0.25, 0.28, 0.58], np.float32)
    np.testing.assert_array_equal(read.times_s, times_s)


def test_frames_are_spread_by_time_not_by_number():
    read = frames_from_video(gif(colours(6), [1000, 100, 100, 100, 700, 100]), 32, 3)
    np.testing.assert_allclose(read.times_s, [0, 1, 2])


def test_a_gif_without_delays_is_shown_as_browsers_do():
    read = frames_from_video(gif(colours(3), 0), 32, 8)
    np.testing.assert_allclose(read.times_s, [0, 0.1, 0.2], atol=1e-6)


def test_a_gif_of_one_frame_is_a_clip_too():
    read = frames_from_video(gif(colours(1)), 32, 8)
    assert (read.frames == colours(1)).all()
    assert read.times_s.tolist() == [0]


def test_other_sizes_are_squeezed_to_the_square():
    wide = np.zeros((1, 32, 128, 3), np.uint8)
    wide[:, :, 64:] = 255
    read = frames_from_video(gif(wide), 16, 8)
    assert read.frames.shape == (1, 16, 16, 3)
    assert (read.frames[0, :, :6] < 20).all()
    assert (read.frames[0, :, 10:] > 235).all()


def test_a_clip_that_was_filmed_upright_is_shown_upright():
    frames = np.zeros((3, 64, 64, 3), np.uint8)
    frames[:, :32] = 255  # the upper half, which a quarter turn clockwise brings to the right
    read = frames_from_video(mp4_turned(clip(frames)), 64, 8)
    assert (read.frames[:, :, 40:] > 235).all()
    assert (read.frames[:, :, :24] < 20).all()


def test_a_webm_from_a_pipe_is_decoded_to_its_end():
    assert (
        len(frames_from_video(webm_of_unknown_length(clip(colours(5), "webm")), 32, 8).frames) == 5
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "expected one of MP4, WebM, GIF"),
        (png(), "expected one of MP4, WebM, GIF"),
        (clip(colours(5))[:-500], "truncated"),
        (clip(colours(5), "webm")[:-100], "truncated"),
        (gif(colours(5))[:-100], "truncated"),
        (clip(colours(5))[:40], "truncated"),
        (clip(colours(5), "webm")[:20], "truncated"),
        (clip(colours(5), "webm")[:4], "truncated"),
        (mp4_claiming(1_000_000), "1000000 frames or more; at most 1800 are allowed"),
        (mp4_claiming(1_500), "outside of the file|truncated or damaged"),
        (gif_of_size(65_535, 65_535), "pixels"),
        (gif_of_size(5_000, 5_000), "5000×5000 = 25000000 pixels; at most 4194304 are allowed"),
        (
            gif(np.concatenate([colours(1, 2), 255 - colours(1, 2)] * 901), 20),
            "1802 frames or more",
        ),
        (gif(colours(2), [60_100, 100]), "s; at most 60 s are allowed"),
        (clip(colours(62), fps=1), "at most 60 s are allowed"),
        (clip(colours(2)).replace(b"stsd\0\0\0\0\0\0\0\1", b"none" * 3), "pictures|unknown"),
        (clip(colours(2), codec="mpeg2video"), "encoded as mpeg2video; allowed are h264"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_the_reason(data, reason):
    with pytest.raises(MediaError, match=reason):
        frames_from_video(data, 32, 8)


def test_frames_are_counted_where_the_header_does_not_say():
    data = webm_of_unknown_length(clip(colours(12), "webm"))
    with pytest.raises(MediaError, match="at most 10 are allowed"):
        frames_from_video(data, 32, 8, VideoLimits(max_frames=10))


def test_seconds_are_counted_where_the_header_does_not_say():
    data = clip(colours(12), "webm").replace(b"\x44\x89\x88", b"\xec\xff\x88")  # Duration → Void
    with pytest.raises(MediaError, match="at most 1 s are allowed"):
        frames_from_video(data, 32, 8, VideoLimits(max_seconds=1))


def test_frames_larger_than_the_header_says_are_refused():
    data = mp4_hiding_its_size(clip(colours(3, side=256)))
    with pytest.raises(MediaError, match="65536 pixels; at most 10000 are allowed"):
        frames_from_video(data, 32, 8, VideoLimits(max_pixels=10_000))
    assert len(frames_from_video(data, 32, 8).frames) == 3


def test_frames_that_grow_in_the_middle_are_refused():
    data = webm_that_grows(32, 256)
    with pytest.raises(MediaError, match="10000"):
        frames_from_video(data, 32, 8, VideoLimits(max_pixels=10_000))
    assert len(frames_from_video(data, 32, 8).frames) == 2


@pytest.mark.parametrize("magic", [b"\0\0\0\x20ftypisom", b"\x1aE\xdf\xa3", b"GIF89a"])
def test_noise_behind_every_magic_number_is_refused(magic):
    for seed in range(20):
        noise = np.random.default_rng(seed).bytes(5_000) + b";"
        with pytest.raises(MediaError):
            frames_from_video(magic + noise, 32, 8)


def test_bytes_are_counted_first():
    with pytest.raises(MediaError, match="bytes; at most 100 are allowed"):
        frames_from_video(gif(colours(5)), 32, 8, VideoLimits(max_bytes=100))
