"""From the messages of a request to the prompt of the contract."""

from collections.abc import Iterable, Sequence

from protos.v1 import content_pb2
from protos.v1.media_pb2 import Media
from services.gateway.config import GatewayConfig
from services.gateway.errors import BadRequest
from services.gateway.openai.chat_request import ChatMessage
from services.gateway.openai.content_parts import (
    AudioUrlPart,
    ContentPart,
    ImagePart,
    InputAudioPart,
    TextPart,
    VideoUrlPart,
)
from services.gateway.openai.media import (
    CLIP,
    PICTURE,
    RECORDING,
    media_from_base64,
    media_from_data_url,
)

_ROLES = {
    "system": content_pb2.ROLE_SYSTEM,
    "developer": content_pb2.ROLE_SYSTEM,
    "user": content_pb2.ROLE_USER,
    "assistant": content_pb2.ROLE_ASSISTANT,
}
_AUDIO_TYPES = {"wav": "audio/wav", "flac": "audio/flac", "mp3": "audio/mpeg", "ogg": "audio/ogg"}


def prompt_from_messages(
    messages: Sequence[ChatMessage], config: GatewayConfig
) -> content_pb2.Prompt:
    """The prompt. Raises BadRequest that names the part which breaks a limit or is no medium."""
    num_parts = sum(len(message.content) for message in messages)
    if num_parts > config.max_parts:
        raise BadRequest(f"messages have {num_parts} parts; at most {config.max_parts}", "messages")
    num_chars = sum(_num_chars(message.content) for message in messages)
    if num_chars > config.max_text_chars:
        raise BadRequest(
            f"messages have {num_chars} characters; at most {config.max_text_chars}", "messages"
        )
    return content_pb2.Prompt(
        messages=[
            content_pb2.Message(
                role=_ROLES[message.role],
                parts=[
                    _part(part, f"messages[{i}].content[{j}]", config)
                    for j, part in enumerate(message.content)
                ],
            )
            for i, message in enumerate(messages)
        ]
    )


def prompt_from_parts(*parts: content_pb2.Part) -> content_pb2.Prompt:
    """A conversation of one user turn."""
    message = content_pb2.Message(role=content_pb2.ROLE_USER, parts=parts)
    return content_pb2.Prompt(messages=[message])


def _part(part: ContentPart, param: str, config: GatewayConfig) -> content_pb2.Part:
    if isinstance(part, TextPart):
        return content_pb2.Part(text=part.text)
    return content_pb2.Part(media=_media(part, param, config))


def _media(
    part: ImagePart | InputAudioPart | AudioUrlPart | VideoUrlPart,
    param: str,
    config: GatewayConfig,
) -> Media:
    max_audio_bytes = config.max_audio_mib << 20
    match part:
        case ImagePart():
            url, max_bytes = part.image_url.url, config.max_image_mib << 20
            return media_from_data_url(url, PICTURE, f"{param}.image_url.url", max_bytes)
        case VideoUrlPart():
            url, max_bytes = part.video_url.url, config.max_video_mib << 20
            return media_from_data_url(url, CLIP, f"{param}.video_url.url", max_bytes)
        case AudioUrlPart():
            url = part.audio_url.url
            return media_from_data_url(url, RECORDING, f"{param}.audio_url.url", max_audio_bytes)
        case InputAudioPart():
            sent = part.input_audio
            param = f"{param}.input_audio.data"
            mime_type = _AUDIO_TYPES[sent.format]
            return media_from_base64(sent.data, mime_type, RECORDING, param, max_audio_bytes)


def _num_chars(parts: Iterable[ContentPart]) -> int:
    return sum(len(part.text) for part in parts if isinstance(part, TextPart))
