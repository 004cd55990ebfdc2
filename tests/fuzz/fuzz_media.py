"""Damaged media of every format through the decoding pool: what comes of them, and what must not.

python tests/fuzz/fuzz_media.py --seconds 600 [--seed 0] [--keep FOLDER]

Reports cases, outcomes and violations: an exception other than MediaError, a call over its
deadline, an answer out of range, growth of this process. Inputs that ended a decoder or broke a
rule are kept in the folder.
"""

import argparse
import io
import logging
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import structlog
from PIL import Image

from models.preprocessing.conversation import Audio, Medium, Picture, Video
from models.preprocessing.decoding import Decoded, DecodedAudio, MediaSettings
from models.preprocessing.media_error import MediaError
from models.preprocessing.video import VideoFrames
from services.common.decoding.pool import DecodingPool
from tests.support.clips import clip, colours, gif, webm_of_unknown_length
from tests.support.pictures import png
from tests.support.recordings import encoded, sine

DEADLINE_S, START_S = 5.0, 2.0
MAX_GROWTH_BYTES = 64 << 20
LENGTHS = [0, 1, 7, 8, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF]
Mutation = Callable[[np.random.Generator, bytearray, bytes], bytearray]


def seeds() -> dict[str, Medium]:
    """One whole medium of each format and encoding."""
    noise = np.random.default_rng(0).integers(0, 256, (6, 48, 64, 3), dtype=np.uint8)
    found: dict[str, Medium] = {"png": Picture(png())}
    for kind in ("JPEG", "WEBP"):
        file = io.BytesIO()
        Image.fromarray(noise[0]).save(file, kind)
        found[kind.lower()] = Picture(file.getvalue())
    for kind, encoding, rate in (
        ("WAV", "PCM_16", 16_000),
        ("WAV", "FLOAT", 44_100),
        ("FLAC", "PCM_16", 22_050),
        ("MP3", "MPEG_LAYER_III", 22_050),
        ("OGG", "VORBIS", 16_000),
        ("OGG", "OPUS", 24_000),
    ):
        stereo = np.stack([sine(0.3, rate=rate), sine(0.3, 700, rate)], axis=1)
        found[f"{kind} {encoding}".lower()] = Audio(encoded(stereo, kind, rate, encoding))
    for container, codec in (
        *(("mp4", "libx264"), ("mp4", "libx265"), ("mp4", "mpeg4"), ("mp4", "libsvtav1")),
        *(("webm", "libvpx"), ("webm", "libvpx-vp9")),
    ):
        found[f"{container} {codec}"] = Video(clip(noise, container, codec=codec))
    found["webm piped"] = Video(webm_of_unknown_length(clip(noise, "webm", codec="libvpx")))
    found["gif"] = Video(gif(colours(6)))
    found["gif noise"] = Video(gif(noise))
    return found


def flip_bits(rng: np.random.Generator, data: bytearray, other: bytes) -> bytearray:
    for position in rng.integers(0, len(data), rng.integers(1, 20)):
        data[position] ^= 1 << int(rng.integers(8))
    return data


def flip_bits_of_header(rng: np.random.Generator, data: bytearray, other: bytes) -> bytearray:
    for position in rng.integers(0, min(len(data), 200), rng.integers(1, 6)):
        data[position] ^= 1 << int(rng.integers(8))
    return data


def truncate(rng: np.random.Generator, data: bytearray, other: bytes) -> bytearray:
    return data[: int(rng.integers(1, len(data) + 1))]


def cut_out(rng: np.random.Generator, data: bytearray, other: bytes) -> bytearray:
    start, end = sorted(rng.integers(0, len(data), 2))
    del data[int(start) : int(end)]
    return data or bytearray(b"\0")


def repeat(rng: np.random.Generator, data: bytearray, other: bytes) -> bytearray:
    start, end = sorted(rng.integers(0, len(data), 2))
    return (
        data[: int(end)] + data[int(start) : int(end)] * int(rng.integers(1, 4)) + data[int(end) :]
    )


def splice(rng: np.random.Generator, data: bytearray, other: bytes) -> bytearray:
    start, end = sorted(rng.integers(0, len(other), 2))
    position = int(rng.integers(0, len(data)))
    data[position : position + int(end - start)] = other[int(start) : int(end)]
    return data


def set_length(rng: np.random.Generator, data: bytearray, other: bytes) -> bytearray:
    for _ in range(rng.integers(1, 4)):
        position = int(rng.integers(0, max(len(data) - 8, 1)))
        num_bytes = int(rng.choice([1, 2, 4, 8]))
        value = int(rng.choice(LENGTHS)) & (1 << 8 * num_bytes) - 1
        order = "little" if rng.random() < 0.5 else "big"
        data[position : position + num_bytes] = value.to_bytes(num_bytes, order)
    return data


def overwrite(rng: np.random.Generator, data: bytearray, other: bytes) -> bytearray:
    position = int(rng.integers(0, len(data)))
    noise = rng.bytes(int(rng.integers(1, 200)))
    data[position : position + len(noise)] = noise
    return data


MUTATIONS: list[Mutation] = [
    *(flip_bits, flip_bits_of_header, truncate, cut_out, repeat, splice, set_length, overwrite)
]


@dataclass
class Fuzzer:
    """Counts what comes of the cases that it makes."""

    pool: DecodingPool
    keep: Path | None
    rng: np.random.Generator
    media: dict[str, Medium] = field(default_factory=seeds)
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    violations: Counter[str] = field(default_factory=Counter)

    def run(self, seconds: float) -> None:
        settings, end_s = MediaSettings(), time.monotonic() + seconds
        for name, medium in self.media.items():
            self.pool.decode(medium, settings)  # whole ones decode
            self.outcomes[name, "decoded"] = 0
        before_bytes = psutil.Process().memory_info().rss
        while time.monotonic() < end_s:
            name = str(self.rng.choice(list(self.media)))
            self._one(name, self._mutated(name), settings)
            growth_bytes = psutil.Process().memory_info().rss - before_bytes
            if growth_bytes > MAX_GROWTH_BYTES:
                self.violations["this process grew"] += 1
                before_bytes += growth_bytes

    def _mutated(self, name: str) -> Medium:
        medium = self.media[name]
        data = bytearray(medium.data)
        other = self.media[str(self.rng.choice(list(self.media)))].data
        for _ in range(self.rng.integers(1, 4)):
            data = MUTATIONS[self.rng.integers(len(MUTATIONS))](self.rng, data, other)
        if self.rng.random() < 0.5:  # past the check that the file is whole
            data = data + b";" if name.startswith("gif") else data.ljust(len(medium.data), b"\0")
        if self.rng.random() < 0.02:
            return (Picture, Audio, Video)[self.rng.integers(3)](bytes(data))
        return type(medium)(bytes(data))

    def _one(self, name: str, medium: Medium, settings: MediaSettings) -> None:
        start_s = time.monotonic()
        try:
            outcome = "decoded" if _is_in_range(self.pool.decode(medium, settings)) else "wrong"
        except MediaError as error:
            outcome = _kind(str(error))
        except Exception as error:
            outcome = f"{type(error).__name__}: {error}"
        duration_s = time.monotonic() - start_s
        self.outcomes[name, outcome] += 1
        is_violation = outcome not in ("decoded", "refused", "ended", "timeout")
        if is_violation:
            self.violations[f"{name}: {outcome}"] += 1
        if duration_s > DEADLINE_S + START_S:
            self.violations[f"{name}: over the deadline"] += 1
        if self.keep and outcome not in ("decoded", "refused"):
            kept = self.keep / f"{name}-{outcome[:20]}-{sum(self.outcomes.values())}"
            kept.write_bytes(medium.data)


def _kind(message: str) -> str:
    for sign, kind in (
        ("ended its decoder", "ended"),
        ("took longer", "timeout"),
        ("cannot be decoded (", "unexpected"),
    ):
        if sign in message:
            return kind
    return "refused"


def _is_in_range(decoded: Decoded) -> bool:
    if isinstance(decoded, DecodedAudio):
        return bool((np.abs(decoded.samples) <= 1).all())
    if isinstance(decoded, VideoFrames):
        times_s = decoded.times_s
        return times_s[0] == 0 and bool((np.diff(times_s) >= 0).all() and times_s[-1] <= 60)
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with DecodingPool(num_workers=1, deadline_s=DEADLINE_S) as pool:
        fuzzer = Fuzzer(pool, options.keep, np.random.default_rng(options.seed))
        fuzzer.run(options.seconds)
    for name in fuzzer.media:
        counts = {kind: n for (of, kind), n in sorted(fuzzer.outcomes.items()) if of == name}
        print(f"{name:20}", *(f"{kind} {count}" for kind, count in counts.items()))
    totals = Counter[str]()
    for (_, kind), count in fuzzer.outcomes.items():
        totals[kind] += count
    print(f"{sum(totals.values())} cases:", dict(totals))
    print(f"{fuzzer.violations.total()} violations", dict(fuzzer.violations))
    return 1 if fuzzer.violations else 0


if __name__ == "__main__":
    sys.exit(main())
