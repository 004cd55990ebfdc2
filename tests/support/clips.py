"""Small clips, whole and hostile."""

import io
import struct
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

CODECS = {"mp4": "libx264", "webm": "libvpx-vp9"}


def colours(num_frames: int, side: int = 32) -> NDArray[np.uint8]:
    """uint8 [F, S, S, 3]: frame k is of one colour, which tells k."""
    frames = np.zeros((num_frames, side, side, 3), np.uint8)
    frames[..., 0] = 40
    frames[..., 1] = 200
    frames[..., 2] = np.linspace(20, 230, num_frames).astype(np.uint8)[:, None, None]
    return frames


def clip(
    frames: NDArray[np.uint8], kind: str = "mp4", fps: int = 10, codec: str | None = None
) -> bytes:
    """A file of uint8 [F, height, width, 3]."""
    file = io.BytesIO()
    with av.open(file, "w", format=kind) as container:
        stream = container.add_stream(codec or CODECS[kind], rate=fps)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


def gif(frames: NDArray[np.uint8], durations_ms: int | list[int] = 100) -> bytes:
    """An animated GIF (a still one of one frame); at most 256 colours are exact."""
    pictures = [Image.fromarray(pixels) for pixels in frames]
    file = io.BytesIO()
    pictures[0].save(
        file, "GIF", save_all=True, append_images=pictures[1:], duration=durations_ms, loop=0
    )
    return file.getvalue()


def gif_of_size(width: int, height: int) -> bytes:
    """A GIF of one small frame whose screen claims another size."""
    data = bytearray(gif(colours(1)))
    data[6:10] = struct.pack("<HH", width, height)
    return bytes(data)


def mp4_claiming(num_frames: int) -> bytes:
    """An MP4 of five frames whose sample tables claim more, of a byte each."""
    data = bytearray(clip(colours(5)))
    struct.pack_into(">II", data, data.index(b"stsz") + 8, 1, num_frames)
    struct.pack_into(">I", data, data.index(b"stts") + 12, num_frames)
    return bytes(data)


def mp4_hiding_its_size(data: bytes) -> bytes:
    """The H.264 MP4 with 0×0 in its headers; only the codec's own header knows."""
    hiding = bytearray(data)
    struct.pack_into(">II", hiding, hiding.index(b"tkhd") + 80, 0, 0)
    struct.pack_into(">HH", hiding, hiding.rindex(b"avc1") + 28, 0, 0)
    return bytes(hiding)


def mp4_turned(data: bytes) -> bytes:
    """The MP4 with its display turned a quarter clockwise, as a telephone held upright writes."""
    turned = bytearray(data)
    one = 1 << 16
    matrix = struct.pack(">9i", 0, one, 0, -one, 0, 0, 0, 0, 1 << 30)
    start = turned.index(b"tkhd") + 4 + 40
    turned[start : start + len(matrix)] = matrix
    return bytes(turned)


def webm_of_unknown_length(data: bytes) -> bytes:
    """The WebM as it is written to a pipe: the segment does not say how long it is."""
    piped = bytearray(data)
    start = piped.index(b"\x18\x53\x80\x67") + 4
    num_bytes = 9 - piped[start].bit_length()
    piped[start : start + num_bytes] = ((1 << 7 * num_bytes + 1) - 1).to_bytes(num_bytes, "big")
    return bytes(piped)


def webm_that_grows(*sides: int) -> bytes:
    """A VP8 clip of one frame per side; its header knows of the first."""
    file = io.BytesIO()
    with av.open(file, "w", format="webm") as container:
        stream = container.add_stream("libvpx", rate=10)
        stream.width = stream.height = sides[0]
        stream.pix_fmt = "yuv420p"
        for index, side in enumerate(sides):
            encoder = av.CodecContext.create("libvpx", "w")
            encoder.width = encoder.height = side
            encoder.pix_fmt, encoder.time_base = "yuv420p", Fraction(1, 10)
            frame = av.VideoFrame.from_ndarray(colours(1, side)[0], format="rgb24")
            for packet in [*encoder.encode(frame), *encoder.encode()]:
                packet.stream, packet.time_base = stream, Fraction(1, 10)
                packet.pts = packet.dts = index
                container.mux(packet)
    return file.getvalue()
