"""Encoded clips to a few small frames and their times, by FFmpeg on one thread.

What the container says is checked before anything is decoded; the packets and frames themselves
are counted and measured where it lies. Only two full frames are held at a time.

F frames, S tile side.
"""

from __future__ import annotations  # Packet takes arguments only for the type checker

import io
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import av
import numpy as np
from av.container import InputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray
from PIL import Image

from models.preprocessing.media_error import MediaError
from models.preprocessing.media_types import sniff_mime_type
from models.preprocessing.video_container import check_is_whole

FORMATS = {"video/mp4": "mp4", "video/webm": "webm", "image/gif": "gif"}
_CODECS = ("h264", "hevc", "mpeg4", "vp8", "vp9", "av1", "libdav1d", "gif")
# No file but the one given is opened, and nothing is decoded to learn what the headers leave out.
_CONTAINER_OPTIONS = {
    "protocol_whitelist": "none",
    "codec_whitelist": "none",
    "enable_drefs": "0",
    "max_streams": "8",
}


@dataclass(frozen=True, slots=True)
class VideoLimits:
    """What one clip may cost."""

    max_bytes: int = 32 * 2**20
    max_seconds: float = 60.0
    max_pixels: int = 4 * 2**20
    max_frames: int = 1_800


@dataclass(frozen=True, slots=True)
class VideoFrames:
    """uint8 [F, S, S, 3], and float32 [F]: when each is shown, in seconds from the first."""

    frames: NDArray[np.uint8]
    times_s: NDArray[np.float32]


def frames_from_video(
    data: bytes, tile_size: int, max_frames: int, limits: VideoLimits = VideoLimits()
) -> VideoFrames:
    """At most `max_frames` frames spread evenly in time, the first and the last among them.

    All frames if there are no more. Each is upright and squeezed to a square, whatever its aspect;
    one that is already of that size is not resampled.
    """
    if len(data) > limits.max_bytes:
        raise MediaError(f"video has {len(data)} bytes; at most {limits.max_bytes} are allowed")
    mime_type = sniff_mime_type(data)
    if mime_type not in FORMATS:
        raise MediaError("not a video; expected one of MP4, WebM, GIF")
    check_is_whole(data, mime_type)
    try:
        with av.open(
            io.BytesIO(data),
            mode="r",
            format=FORMATS[mime_type],
            container_options=_CONTAINER_OPTIONS,
            metadata_errors="replace",
        ) as container:
            return _chosen_frames(container, tile_size, max_frames, len(data), limits)
    except av.FFmpegError as error:
        raise MediaError(
            f"video is truncated or damaged, or has frames of over {limits.max_pixels} pixels:"
            f" {error.strerror}"
        ) from error


def _chosen_frames(
    container: InputContainer, tile_size: int, max_frames: int, num_bytes: int, limits: VideoLimits
) -> VideoFrames:
    stream = _checked_stream(container, limits)
    packets = _read_packets(container, stream, num_bytes, limits)
    wanted_s = _spread(_shown_times_s(packets, limits), max_frames)
    frames: list[NDArray[np.uint8]] = []
    times_s: list[float] = []
    to_rgb = VideoReformatter()
    for frame in _nearest(_decoded(packets, limits), wanted_s):
        frames.append(_square(to_rgb, frame, tile_size))
        times_s.append(_time_s(frame))
    if not frames:
        raise MediaError("video has no frames")
    return VideoFrames(np.stack(frames), (np.array(times_s) - times_s[0]).astype(np.float32))


def _checked_stream(container: InputContainer, limits: VideoLimits) -> VideoStream:
    """The clip's stream, set to decode within the limits. Raises MediaError by its header."""
    if not container.streams.video:
        raise MediaError("video has no pictures in it")
    stream = container.streams.video[0]
    codec: VideoCodecContext | None = stream.codec_context  # None if FFmpeg has no decoder for it
    if codec is None or codec.name not in _CODECS:
        name = codec.name if codec else "something unknown"
        raise MediaError(f"video is encoded as {name}; allowed are {', '.join(_CODECS)}")
    _check_pixels(codec.width, codec.height, limits)  # 0×0 where only the frames know (MPEG-4)
    _check_seconds((container.duration or 0) / av.time_base, limits)
    _check_count(stream.frames, limits)
    codec.thread_count = 1
    codec.options = {"max_pixels": str(limits.max_pixels)}
    return stream


def _read_packets(
    container: InputContainer, stream: VideoStream, num_bytes: int, limits: VideoLimits
) -> list[av.Packet[VideoStream]]:
    """All encoded frames; the last is the empty one that ends decoding.

    Sample tables may name the same bytes many times over, so their sum is bounded by the file.
    """
    packets: list[av.Packet[VideoStream]] = []
    num_packet_bytes = 0
    for packet in container.demux(stream):
        num_packet_bytes += packet.size
        if packet.is_corrupt or num_packet_bytes > num_bytes:
            raise MediaError("video is truncated or damaged: frames lie outside of the file")
        packets.append(packet)
        _check_count(len(packets) - 1, limits)
    return packets


def _shown_times_s(packets: Sequence[av.Packet[VideoStream]], limits: VideoLimits) -> list[float]:
    times_s = sorted(
        float(packet.pts * packet.time_base)
        for packet in packets
        if packet.size and not packet.is_discard and packet.pts is not None
    )
    if not times_s:
        raise MediaError("video has no frames")
    _check_seconds(times_s[-1] - times_s[0], limits)
    return times_s


def _spread(times_s: Sequence[float], max_frames: int) -> list[float]:
    """The times themselves, or `max_frames` times at even distances between first and last."""
    if len(times_s) <= max_frames:
        return list(times_s)
    return [float(time) for time in np.linspace(times_s[0], times_s[-1], max_frames)]


def _decoded(
    packets: Sequence[av.Packet[VideoStream]], limits: VideoLimits
) -> Iterator[VideoFrame]:
    """Frames in the order of their times."""
    count = 0
    for packet in packets:
        for frame in packet.decode():
            assert isinstance(frame, VideoFrame)
            count += 1
            _check_count(count, limits)
            _check_pixels(frame.width, frame.height, limits)
            if frame.is_corrupt:
                raise MediaError("video is damaged: a frame cannot be decoded")
            yield frame


def _nearest(frames: Iterator[VideoFrame], wanted_s: Sequence[float]) -> Iterator[VideoFrame]:
    """For each wanted time the frame that is nearest to it; each frame once, in order."""
    pending = deque(wanted_s)
    before: VideoFrame | None = None
    given: VideoFrame | None = None
    for frame in frames:
        if before is not None and _time_s(frame) < _time_s(before):
            raise MediaError("video is damaged: its frames go back in time")
        while pending and pending[0] <= _time_s(frame):
            wanted = pending.popleft()
            is_before = before is not None and wanted - _time_s(before) < _time_s(frame) - wanted
            nearest = before if is_before else frame
            if nearest is not None and nearest is not given:
                given = nearest
                yield nearest
        before = frame
    if pending and before is not None and before is not given:
        yield before


def _time_s(frame: VideoFrame) -> float:
    if frame.time is None:
        raise MediaError("video is damaged: a frame has no time")
    return frame.time


def _square(to_rgb: VideoReformatter, frame: VideoFrame, tile_size: int) -> NDArray[np.uint8]:
    # A frame's own `to_ndarray(format=…)` starts threads each time: 2 to 4 ms for 32×32 pixels.
    rgb = to_rgb.reformat(frame, format="rgb24", threads=1)
    pixels = np.rot90(rgb.to_ndarray(), frame.rotation // 90)
    if pixels.shape[:2] == (tile_size, tile_size):
        return np.ascontiguousarray(pixels, dtype=np.uint8)
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    picture = picture.resize((tile_size, tile_size), Image.Resampling.BICUBIC, reducing_gap=3.0)
    return np.asarray(picture, dtype=np.uint8)


def _check_pixels(width: int, height: int, limits: VideoLimits) -> None:
    if width * height > limits.max_pixels:
        raise MediaError(
            f"video has frames of {width}×{height} = {width * height} pixels;"
            f" at most {limits.max_pixels} are allowed"
        )


def _check_seconds(seconds: float, limits: VideoLimits) -> None:
    if seconds > limits.max_seconds:
        raise MediaError(
            f"video takes {seconds:.1f} s; at most {limits.max_seconds:g} s are allowed"
        )


def _check_count(num_frames: int, limits: VideoLimits) -> None:
    if num_frames > limits.max_frames:
        raise MediaError(
            f"video has {num_frames} frames or more; at most {limits.max_frames} are allowed"
        )
