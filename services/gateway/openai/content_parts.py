"""The parts of a message: words, pictures, recordings and clips.

`image_url` and `input_audio` are OpenAI's shapes; `audio_url` and `video_url` are vLLM's.
"""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from services.gateway.openai.fields import StrictBody, Words


class TextPart(StrictBody):
    """Words of a message."""

    type: Literal["text"]
    text: Words


class ImageUrl(StrictBody):
    """Where a picture is: a data URL."""

    url: str
    detail: Literal["auto", "low", "high", "original"] | None = None


class ImagePart(StrictBody):
    """A picture of a message."""

    type: Literal["image_url"]
    image_url: ImageUrl


class InputAudio(StrictBody):
    """A recording itself; its first bytes decide over its format."""

    data: str
    format: Literal["wav", "flac", "mp3", "ogg"]


class InputAudioPart(StrictBody):
    """A recording of a message."""

    type: Literal["input_audio"]
    input_audio: InputAudio


class MediaUrl(StrictBody):
    """Where a recording or a clip is: a data URL."""

    url: str


class AudioUrlPart(StrictBody):
    """A recording of a message."""

    type: Literal["audio_url"]
    audio_url: MediaUrl


class VideoUrlPart(StrictBody):
    """A clip of a message."""

    type: Literal["video_url"]
    video_url: MediaUrl


def _as_parts(content: object) -> object:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


ContentPart = TextPart | ImagePart | InputAudioPart | AudioUrlPart | VideoUrlPart
Content = Annotated[
    list[Annotated[ContentPart, Field(discriminator="type")]],
    Field(min_length=1),
    BeforeValidator(_as_parts),
]
