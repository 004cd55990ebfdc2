"""Media as requests carry them: base64, alone or as a data URL. Sizes are checked undecoded.

The gateway fetches nothing: a URL that somebody else wrote would make it ask machines that only it
can reach.
"""

import base64
import binascii
import re
from dataclasses import dataclass

from protos.v1.media_pb2 import MODALITY_AUDIO, MODALITY_IMAGE, MODALITY_VIDEO, Media, Modality
from services.gateway.errors import BadRequest

_DATA_URL = re.compile(r"data:([a-z]{1,20}/[a-z0-9.+-]{1,40});base64,", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class MediaKind:
    """What a medium is called, and how its data URLs begin."""

    noun: str
    modality: "Modality.ValueType"
    mime_types: tuple[str, ...]
    expected: str


PICTURE = MediaKind(
    "picture", MODALITY_IMAGE, ("image/",), "data:image/png;base64,… (or jpeg, webp)"
)
RECORDING = MediaKind(
    "recording", MODALITY_AUDIO, ("audio/",), "data:audio/wav;base64,… (or flac, mpeg, ogg)"
)
CLIP = MediaKind(
    "clip",
    MODALITY_VIDEO,
    ("video/", "image/gif"),
    "data:video/mp4;base64,… (or video/webm, image/gif)",
)


def media_from_data_url(url: str, kind: MediaKind, param: str, max_bytes: int) -> Media:
    """The medium in a data URL. Raises BadRequest for what is none, or another kind of medium."""
    found = _DATA_URL.match(url)
    if found is None or not found[1].lower().startswith(kind.mime_types):
        raise BadRequest(_why_no_data_url(url, kind), param)
    return media_from_base64(url[found.end() :], found[1].lower(), kind, param, max_bytes)


def media_from_base64(
    encoded: str, mime_type: str, kind: MediaKind, param: str, max_bytes: int
) -> Media:
    """The medium that base64 spells. Raises BadRequest; its size is checked before it is decoded.

    `mime_type` is the sender's word for it.
    """
    check_size(len(encoded) * 3 // 4, kind, param, max_bytes)
    try:
        data = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest(f"the {kind.noun} is not valid base64", param) from error
    if not data:
        raise BadRequest(f"the {kind.noun} is empty", param)
    return Media(modality=kind.modality, mime_type=mime_type, data=data)


def check_size(num_bytes: int, kind: MediaKind, param: str, max_bytes: int) -> None:
    """Raises BadRequest for a medium of more bytes than one may have."""
    if num_bytes > max_bytes:
        raise BadRequest(f"the {kind.noun} has {num_bytes} bytes; at most {max_bytes}", param)


def _why_no_data_url(url: str, kind: MediaKind) -> str:
    if url.lower().startswith(("http:", "https:")):
        return (
            f"this server fetches no URLs; send the {kind.noun} itself as a data URL: "
            f"expected {kind.expected}"
        )
    return f"not a {kind.noun} as a data URL; expected {kind.expected}"
