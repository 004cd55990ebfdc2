"""What a model is asked with: text, pictures, sound and clips, alone or as a conversation.

A string is text. `image`, `audio` and `video` make media of a file or of bytes; `system`, `user`
and `assistant` make the messages of a conversation.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

from attune_client.errors import InvalidArgument
from attune_client.media_types import sniff_mime_type
from attune_client.protos.v1 import content_pb2, media_pb2

# What the services take by default, for one media item.
MAX_MEDIA_BYTES = 32 << 20
_MIB = 1 << 20

Source = str | PathLike[str] | bytes


@dataclass(frozen=True, slots=True)
class Media:
    """One media item as encoded bytes, with the type that its first bytes show."""

    modality: media_pb2.Modality.ValueType
    mime_type: str
    data: bytes = field(repr=False)

    @property
    def sha256(self) -> str:
        """The hash by which the services know it, lower-case hex."""
        return hashlib.sha256(self.data).hexdigest()


Part = str | Media
Content = Part | Sequence[Part]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: content_pb2.Role.ValueType
    parts: tuple[Part, ...]


# Content is the question of a user; messages are a whole conversation.
Prompt = Content | Message | Sequence[Message]


def image(source: Source) -> Media:
    """A picture (PNG, JPEG, WebP or GIF), by its path or as its bytes. Raises InvalidArgument."""
    return _media(source, media_pb2.MODALITY_IMAGE, ("image/",))


def audio(source: Source) -> Media:
    """A recording (WAV, FLAC, MP3 or Ogg), by its path or as its bytes."""
    return _media(source, media_pb2.MODALITY_AUDIO, ("audio/",))


def video(source: Source) -> Media:
    """A clip (MP4, WebM or an animated GIF), by its path or as its bytes."""
    return _media(source, media_pb2.MODALITY_VIDEO, ("video/", "image/gif"))


def system(*parts: Part) -> Message:
    """What the model is told before the conversation."""
    return Message(content_pb2.ROLE_SYSTEM, parts)


def user(*parts: Part) -> Message:
    """What a user says."""
    return Message(content_pb2.ROLE_USER, parts)


def assistant(*parts: Part) -> Message:
    """What the model answered, or might answer."""
    return Message(content_pb2.ROLE_ASSISTANT, parts)


def prompt_to_proto(prompt: Prompt) -> content_pb2.Prompt:
    """The prompt on the wire."""
    return content_pb2.Prompt(messages=[message_to_proto(message) for message in _messages(prompt)])


def answer_to_proto(answer: Content | Message) -> content_pb2.Message:
    """An answer on the wire: content is what the assistant says."""
    message = answer if isinstance(answer, Message) else assistant(*_parts(answer))
    return message_to_proto(message)


def message_to_proto(message: Message) -> content_pb2.Message:
    """One turn on the wire."""
    parts = [part_to_proto(part) for part in message.parts]
    return content_pb2.Message(role=message.role, parts=parts)


def part_to_proto(part: Part) -> content_pb2.Part:
    """One part on the wire; media travel as bytes."""
    if isinstance(part, str):
        return content_pb2.Part(text=part)
    if isinstance(part, Media):
        media = media_pb2.Media(modality=part.modality, mime_type=part.mime_type, data=part.data)
        return content_pb2.Part(media=media)
    raise InvalidArgument(
        f"a part is a {type(part).__name__}; give a string, image(…), audio(…) or video(…)"
    )


def _messages(prompt: Prompt) -> tuple[Message, ...]:
    if isinstance(prompt, Message):
        return (prompt,)
    if isinstance(prompt, str | Media):
        return (user(prompt),)
    messages = tuple(item for item in prompt if isinstance(item, Message))
    parts = tuple(item for item in prompt if not isinstance(item, Message))
    if messages and parts:
        raise InvalidArgument("a prompt is made of parts or of messages; it has both")
    return messages or (user(*parts),)


def _parts(content: Content) -> tuple[Part, ...]:
    return (content,) if isinstance(content, str | Media) else tuple(content)


def _media(
    source: Source, modality: media_pb2.Modality.ValueType, allowed: tuple[str, ...]
) -> Media:
    data, name = _read(source)
    mime_type = sniff_mime_type(data)
    if mime_type is None or not mime_type.startswith(allowed):
        kind = media_pb2.Modality.Name(modality).removeprefix("MODALITY_").lower()
        raise InvalidArgument(f"{name} is {mime_type or 'of no known type'}, which is no {kind}")
    return Media(modality, mime_type, data)


def _read(source: Source) -> tuple[bytes, str]:
    """The bytes, and what to call them in a message."""
    if isinstance(source, bytes):
        _check_size(len(source), "the data")
        return source, "the data"
    path = Path(source)
    _check_size(path.stat().st_size, str(path))
    return path.read_bytes(), str(path)


def _check_size(num_bytes: int, name: str) -> None:
    if num_bytes > MAX_MEDIA_BYTES:
        raise InvalidArgument(
            f"{name} has {num_bytes / _MIB:.1f} MiB; a media item may have "
            f"{MAX_MEDIA_BYTES // _MIB} MiB at most"
        )
