"""From the messages of a request to the prompt of the contract.

Pictures come as data URLs. The gateway fetches nothing: a URL that somebody else wrote would make
it ask machines that only it can reach.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Sequence

from protos.v1 import content_pb2, media_pb2
from services.gateway.config import GatewayConfig
from services.gateway.errors import BadRequest
from services.gateway.openai.chat_request import ChatMessage, ImagePart, TextPart

_DATA_URL = re.compile(r"data:(image/[a-z0-9.+-]{1,40});base64,", re.IGNORECASE)
_EXPECTED = "expected data:image/png;base64,… (or jpeg, webp)"
_ROLES = {
    "system": content_pb2.ROLE_SYSTEM,
    "developer": content_pb2.ROLE_SYSTEM,
    "user": content_pb2.ROLE_USER,
    "assistant": content_pb2.ROLE_ASSISTANT,
}


def prompt_from_messages(
    messages: Sequence[ChatMessage], config: GatewayConfig
) -> content_pb2.Prompt:
    """The prompt. Raises BadRequest that names the part which breaks a limit or is no picture."""
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
                    _part(part, f"messages[{i}].content[{j}]", config.max_image_mib << 20)
                    for j, part in enumerate(message.content)
                ],
            )
            for i, message in enumerate(messages)
        ]
    )


def prompt_from_text(text: str) -> content_pb2.Prompt:
    """A conversation of one user turn."""
    message = content_pb2.Message(role=content_pb2.ROLE_USER, parts=[content_pb2.Part(text=text)])
    return content_pb2.Prompt(messages=[message])


def media_from_data_url(url: str, param: str, max_bytes: int) -> media_pb2.Media:
    """The picture in a data URL. Raises BadRequest; its size is checked before it is decoded."""
    found = _DATA_URL.match(url)
    if found is None:
        raise BadRequest(_why_no_data_url(url), param)
    num_bytes = (len(url) - found.end()) * 3 // 4
    if num_bytes > max_bytes:
        raise BadRequest(f"the picture has {num_bytes} bytes; at most {max_bytes}", param)
    try:
        data = base64.b64decode(url[found.end() :], validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest(f"the data URL is not valid base64; {_EXPECTED}", param) from error
    if not data:
        raise BadRequest(f"the data URL is empty; {_EXPECTED}", param)
    return media_pb2.Media(modality=media_pb2.MODALITY_IMAGE, mime_type=found[1].lower(), data=data)


def _part(part: TextPart | ImagePart, param: str, max_image_bytes: int) -> content_pb2.Part:
    if isinstance(part, TextPart):
        return content_pb2.Part(text=part.text)
    media = media_from_data_url(part.image_url.url, f"{param}.image_url.url", max_image_bytes)
    return content_pb2.Part(media=media)


def _num_chars(parts: Iterable[TextPart | ImagePart]) -> int:
    return sum(len(part.text) for part in parts if isinstance(part, TextPart))


def _why_no_data_url(url: str) -> str:
    if url.lower().startswith(("http:", "https:")):
        return f"this server fetches no URLs; send the picture itself as a data URL: {_EXPECTED}"
    return f"not a picture as a data URL; {_EXPECTED}"
