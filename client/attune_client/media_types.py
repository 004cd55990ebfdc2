"""What encoded media are, by their first bytes; a sender's word for it is never trusted."""

from collections.abc import Callable

_PREFIXES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"fLaC", "audio/flac"),
    (b"OggS", "audio/ogg"),
    (b"ID3", "audio/mpeg"),
    (b"\x1aE\xdf\xa3", "video/webm"),
)
# Containers that name their content after a length, and MP3 without a container.
_INNER: tuple[tuple[Callable[[bytes], bool], str], ...] = (
    (lambda head: head[:4] == b"RIFF" and head[8:12] == b"WEBP", "image/webp"),
    (lambda head: head[:4] == b"RIFF" and head[8:12] == b"WAVE", "audio/wav"),
    (lambda head: head[4:8] == b"ftyp", "video/mp4"),
    (lambda head: _is_mp3_frame(head), "audio/mpeg"),
)
HEAD_BYTES = 16


def sniff_mime_type(data: bytes) -> str | None:
    """The media type that the first `HEAD_BYTES` bytes show; None for what is not known."""
    head = data[:HEAD_BYTES]
    for prefix, mime_type in _PREFIXES:
        if head.startswith(prefix):
            return mime_type
    return next((mime_type for matches, mime_type in _INNER if matches(head)), None)


def _is_mp3_frame(head: bytes) -> bool:
    """Eleven bits of sync, then MPEG 1, 2 or 2.5, layer III."""
    return head[:1] == b"\xff" and len(head) > 1 and head[1] & 0xE6 == 0xE2 and head[1] & 0x18 != 8
