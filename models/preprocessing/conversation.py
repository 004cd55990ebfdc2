"""The content of a conversation as plain values: text, encoded media, and tokens.

The world, the preprocessor, the wire codecs and the services all speak in these; none of them
needs torch or protobuf to do so.
"""

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """Who takes a turn."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True)
class Text:
    """Words; special tokens typed in them stay text."""

    text: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A still picture as encoded bytes (PNG, JPEG or WebP), not yet checked or decoded."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Audio:
    """A recording as encoded bytes (WAV, FLAC or MP3), not yet checked or decoded."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Video:
    """A clip as encoded bytes (MP4, WebM or GIF), not yet checked or decoded."""

    data: bytes


@dataclass(frozen=True, slots=True)
class TokenIds:
    """Tokens as sampled, which training uses as they are.

    `fingerprint` names the preprocessing that made them; another fingerprint must refuse them.
    """

    ids: tuple[int, ...]
    fingerprint: str


Medium = Picture | Audio | Video
Part = Text | Medium | TokenIds


@dataclass(frozen=True, slots=True)
class Turn:
    """One speaker's parts, in order."""

    role: Role
    parts: tuple[Part, ...]


Conversation = tuple[Turn, ...]
