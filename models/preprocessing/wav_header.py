"""What a WAV's header says of its samples, against what is there.

Programs that write to a pipe cannot know the size and leave 0 or the largest number (ffmpeg, sox);
libsndfile reads nothing of the first and cannot tell the second from a truncated file.
"""

import struct

from models.preprocessing.media_error import MediaError

_SIZE_UNKNOWN = 0x7FFF0000  # sizes from here on are placeholders; no recording comes near them
_FIRST_CHUNK = 12


def with_known_size(wav: bytes) -> bytes:
    """The same recording with its real size in the header. Raises MediaError if it is truncated."""
    start, promised = _samples(wav)
    present = len(wav) - start
    if promised == 0 and _was_never_closed(wav, start):
        promised = _SIZE_UNKNOWN
    if promised < _SIZE_UNKNOWN:
        if promised > present:
            raise MediaError(
                f"recording is truncated: its header promises {promised} bytes of samples and"
                f" {present} are there"
            )
        return wav
    riff_size, data_size = struct.pack("<I", len(wav) - 8), struct.pack("<I", present)
    return wav[:4] + riff_size + wav[8 : start - 4] + data_size + wav[start:]


def _samples(wav: bytes) -> tuple[int, int]:
    """Where the samples start, and how many bytes of them the header promises."""
    position = _FIRST_CHUNK
    while position + 8 <= len(wav):
        name, size = struct.unpack_from("<4sI", wav, position)
        position += 8
        if name == b"data":
            return position, size
        position += size + size % 2
    raise MediaError("recording is truncated or damaged: a WAV without samples")


def _was_never_closed(wav: bytes, start: int) -> bool:
    """True if the size of the whole is a placeholder too, so that 0 does not mean silence."""
    riff_size = int.from_bytes(wav[4:8], "little")
    return riff_size + 8 <= start or riff_size >= _SIZE_UNKNOWN
