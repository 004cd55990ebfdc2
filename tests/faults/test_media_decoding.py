"""Media and events that end a decoder: the caller gets a reason, the pool goes on."""

import resource
import socket
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
from prometheus_client import CollectorRegistry

from models.preprocessing.conversation import Audio, Medium, Picture, Video
from models.preprocessing.decoding import (
    DecodedAudio,
    DecodedPicture,
    MediaSettings,
    decode_medium,
)
from models.preprocessing.images import MediaLimits
from models.preprocessing.media_error import MediaError
from models.preprocessing.video import VideoFrames, VideoLimits
from services.common.decoding.frames import Reply, Request, decoded_from, modality_of, receive, send
from services.common.decoding.pool import DecodingPool
from services.common.errors import ResourceExhausted, Unavailable
from tests.support.clips import clip, colours, gif, gif_of_size, mp4_claiming
from tests.support.pictures import png, png_bomb
from tests.support.recordings import encoded, sine

SETTINGS = MediaSettings()
PICTURE, AUDIO = Picture(png()), Audio(encoded(sine(0.1)))
VIDEO = Video(gif(colours(3)))


@pytest.fixture(scope="module")
def pool() -> Iterator[DecodingPool]:
    with DecodingPool(num_workers=1, deadline_s=10) as running:
        yield running


def workers() -> list[psutil.Process]:
    """The decoders of this process, by their command, the newest last."""
    children = psutil.Process().children()
    found = [child for child in children if "services.common.decoding.worker" in child.cmdline()]
    return sorted(found, key=lambda child: child.create_time())


def worker_of(pool: DecodingPool) -> psutil.Process:
    """The running worker of a pool of one that was used last."""
    pool.decode(PICTURE, SETTINGS)
    return workers()[-1]


def serves(pool: DecodingPool) -> bool:
    """True if each modality decodes to what it decodes to in this process."""
    for medium in (PICTURE, AUDIO, VIDEO):
        theirs, ours = pool.decode(medium, SETTINGS), decode_medium(medium, SETTINGS)
        assert type(theirs) is type(ours)
        for name in ours.__slots__:
            np.testing.assert_array_equal(getattr(theirs, name), getattr(ours, name))
    return True


def during(pool: DecodingPool, medium: Medium, act: Callable[[psutil.Process], None]) -> Exception:
    """What `decode` raises if `act` happens to the worker before it has answered."""
    error = None
    with ThreadPoolExecutor(1) as thread:
        while error is None:  # it has succeeded if `act` came before the request
            worker = worker_of(pool)
            worker.suspend()
            call = thread.submit(pool.decode, medium, SETTINGS)
            act(worker)
            error = call.exception(timeout=30)
    assert isinstance(error, Exception)
    return error


def test_every_modality_decodes_as_in_this_process(pool: DecodingPool) -> None:
    assert isinstance(pool.decode(PICTURE, SETTINGS), DecodedPicture)
    assert isinstance(pool.decode(AUDIO, SETTINGS), DecodedAudio)
    assert isinstance(pool.decode(VIDEO, SETTINGS), VideoFrames)
    assert serves(pool)


def test_settings_travel_with_each_call(pool: DecodingPool) -> None:
    settings = MediaSettings(
        tile_size=8,
        sample_rate=8_000,
        max_frames=2,
        picture=MediaLimits(max_tiles=1),
        video=VideoLimits(max_seconds=10),
    )
    picture, audio, video = (pool.decode(m, settings) for m in (PICTURE, AUDIO, VIDEO))
    assert isinstance(picture, DecodedPicture)
    assert isinstance(audio, DecodedAudio)
    assert isinstance(video, VideoFrames)
    assert picture.tiles.shape == (1, 8, 8, 3)
    assert audio.samples.shape == (800,)
    assert video.frames.shape == (2, 8, 8, 3)
    assert video.times_s.tolist() == pytest.approx([0, 0.2])


def zip_like_png(side: int) -> bytes:
    """A real PNG of one colour: few bytes, side × side pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    pixels = zlib.compress(bytes((3 * side + 1) * side))
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    magic = b"\x89PNG\r\n\x1a\n"
    return magic + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("medium", "reason"),
    [
        (Picture(b""), "not a picture"),
        (Picture(png_bomb()), "pixels"),
        (Picture(zip_like_png(5_000)), "25000000 pixels; at most 16777216"),
        (Picture(bytes(9 << 20)), "at most 8388608 are allowed"),
        (Picture(AUDIO.data), "not a picture"),
        (Audio(png()), "not a recording"),
        (Audio(AUDIO.data[:-100]), "truncated"),
        (Audio(encoded(sine(61), "FLAC")), "at most 60 s"),
        (Audio(bytes(17 << 20)), "audio has 17825792 bytes; at most 16777216"),
        (Video(AUDIO.data), "not a video"),
        (Video(gif_of_size(9_000, 9_000)), "at most 4194304 are allowed"),
        (Video(mp4_claiming(1_000_000)), "at most 1800 are allowed"),
        (Video(mp4_claiming(0xFFFFFFF)), "at most 1800 are allowed|truncated or damaged|memory"),
        (Video(clip(colours(3))[:-1]), "truncated"),
        (Video(bytes(33 << 20)), "video has 34603008 bytes; at most 33554432"),
    ],
)
def test_hostile_media_are_refused_and_the_worker_stays(
    pool: DecodingPool, medium: Medium, reason: str
) -> None:
    before = worker_of(pool)
    with pytest.raises(MediaError, match=reason):
        pool.decode(medium, SETTINGS)
    assert serves(pool)
    assert worker_of(pool) == before


def test_hostile_media_cost_the_caller_no_memory(pool: DecodingPool) -> None:
    media = [Picture(zip_like_png(5_000)), Video(mp4_claiming(1_000_000)), Audio(encoded(sine(61)))]
    assert serves(pool)
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for medium in media * 3:
        with pytest.raises(MediaError):
            pool.decode(medium, SETTINGS)
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
    assert grown_kib < 16 << 10


def test_a_worker_that_is_killed_in_a_call_is_replaced(pool: DecodingPool) -> None:
    error = during(pool, VIDEO, lambda worker: worker.kill())
    assert isinstance(error, MediaError)
    assert "the video ended its decoder (SIGKILL)" in str(error)
    assert serves(pool)


def test_a_worker_that_is_killed_between_calls_is_not_noticed(pool: DecodingPool) -> None:
    worker = worker_of(pool)
    worker.kill()
    worker.wait()
    assert serves(pool)


LARGER_THAN_THE_SOCKET = Audio(encoded(np.zeros(16_000 * 60, np.float32)))


@pytest.mark.parametrize("medium", [VIDEO, LARGER_THAN_THE_SOCKET], ids=["small", "large"])
def test_a_worker_that_hangs_is_replaced_after_the_deadline(medium: Medium) -> None:
    with DecodingPool(num_workers=1, deadline_s=2) as pool:
        hung = worker_of(pool)
        error = during(pool, medium, lambda worker: None)
        assert isinstance(error, MediaError)
        assert "took longer than 2 s to decode" in str(error)
        assert serves(pool)
        assert worker_of(pool) != hung


def test_a_medium_that_takes_too_much_memory_ends_alone() -> None:
    settings = MediaSettings(picture=MediaLimits(max_pixels=1 << 30, max_bytes=64 << 20))
    bomb = Picture(zip_like_png(12_000))
    with DecodingPool(num_workers=1, memory_bytes=600 << 20) as pool:
        before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(MediaError, match="600 MiB of memory"):
            pool.decode(bomb, settings)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 16 << 10
        assert serves(pool)


def test_a_caller_waits_for_a_worker_only_so_long() -> None:
    with DecodingPool(num_workers=1, wait_s=0.1) as pool, ThreadPoolExecutor(2) as threads:
        worker = worker_of(pool)
        worker.suspend()
        calls = [threads.submit(pool.decode, VIDEO, SETTINGS) for _ in range(2)]
        ended, running = wait(calls, return_when=FIRST_COMPLETED)
        with pytest.raises(ResourceExhausted, match=r"all 1 media decoders stayed busy for 0\.1 s"):
            ended.pop().result()
        worker.resume()
        assert isinstance(running.pop().result(), VideoFrames)


def test_many_threads_share_few_workers() -> None:
    with DecodingPool(num_workers=2) as pool, ThreadPoolExecutor(8) as threads:
        calls = [threads.submit(pool.decode, m, SETTINGS) for m in [PICTURE, AUDIO, VIDEO] * 20]
        assert len({type(call.result()) for call in calls}) == 3
        assert len(workers()) <= 3  # two, and the module's own


def test_closing_ends_the_workers() -> None:
    before = workers()
    pool = DecodingPool(num_workers=2)
    pool.decode(PICTURE, SETTINGS)
    assert len(workers()) == len(before) + 1
    pool.close()
    pool.close()
    assert workers() == before
    with pytest.raises(Unavailable, match="no longer decoded"):
        pool.decode(PICTURE, SETTINGS)


def test_a_worker_ends_when_its_service_is_gone() -> None:
    code = (
        "import os, psutil\n"
        "from tests.faults.test_media_decoding import *\n"
        "pool = DecodingPool(num_workers=1)\n"
        "pool.decode(PICTURE, SETTINGS)\n"
        "print(psutil.Process().children()[0].pid, flush=True)\n"
        "os._exit(0)\n"
    )
    root = Path(__file__).parents[2]
    ran = subprocess.run([sys.executable, "-c", code], cwd=root, stdout=subprocess.PIPE, check=True)
    worker = int(ran.stdout)
    with suppress(psutil.NoSuchProcess):
        psutil.Process(worker).wait(10)
    assert not psutil.pid_exists(worker)


def test_workers_are_light_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTUNE_HOME", "secret")
    with DecodingPool(num_workers=1) as pool:
        worker = worker_of(pool)
        assert worker.rlimit(resource.RLIMIT_AS) == (1 << 30, 1 << 30)
        assert worker.rlimit(resource.RLIMIT_CORE) == (0, 0)
        assert worker.rlimit(resource.RLIMIT_FSIZE) == (0, 0)
        assert worker.nice() > psutil.Process().nice() or worker.nice() == 19
        loaded = {Path(region.path).name for region in worker.memory_maps()}
        assert not [name for name in loaded if "torch" in name or "grpc" in name]
        assert "ATTUNE_HOME" not in worker.environ()


def test_outcomes_are_counted() -> None:
    registry = CollectorRegistry()
    with DecodingPool(num_workers=1, registry=registry) as pool:
        pool.decode(PICTURE, SETTINGS)
        with pytest.raises(MediaError):
            pool.decode(Audio(b""), SETTINGS)
        during(pool, VIDEO, lambda worker: worker.kill())

    def count(modality: str, outcome: str) -> float | None:
        labels = {"modality": modality, "outcome": outcome}
        return registry.get_sample_value("attune_media_decodes_total", labels)

    assert count("picture", "decoded") == 2
    assert count("audio", "refused") == 1
    assert count("video", "ended") == 1


@pytest.mark.parametrize(
    ("medium", "count", "num_bytes"),
    [
        (PICTURE, 0, 0),
        (PICTURE, -1, 0),
        (PICTURE, 5, 5 * 32 * 32 * 3),
        (PICTURE, 1, 32 * 32 * 3 - 1),
        (AUDIO, 60 * 16_000 + 1, 4 * (60 * 16_000 + 1)),
        (AUDIO, 10, 41),
        (VIDEO, 9, 9 * (32 * 32 * 3 + 4)),
        (VIDEO, 2, 2 * 32 * 32 * 3),
    ],
)
def test_a_reply_that_cannot_be_one_is_refused(medium: Medium, count: int, num_bytes: int) -> None:
    request = Request(modality=modality_of(medium), settings=SETTINGS)
    with pytest.raises(ValueError, match=f"a reply of {count} parts in {num_bytes} bytes"):
        decoded_from(Reply(count=count), bytes(num_bytes), request)


def test_a_frame_over_the_bounds_is_not_read() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        send(theirs, Reply(error="x"), bytes(100), None)
        with pytest.raises(ValueError, match="and 100 bytes"):
            receive(ours, 99, None)


def test_the_deadline_is_for_the_whole_frame() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"\0\0")
        with pytest.raises(TimeoutError):
            receive(ours, 0, time.monotonic() + 0.05)
