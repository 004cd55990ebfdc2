"""Prompts of the wire: limits first, then media by hash, then tokens and media in a thread."""

import asyncio
from dataclasses import dataclass
from functools import partial

from models.preprocessing.conversation import Conversation, Medium
from models.preprocessing.decoding import MediaDecoder
from models.preprocessing.encoded_prompt import EncodedPrompt
from protos.v1 import content_pb2
from services.common.codecs import conversation_from_proto
from services.common.errors import InvalidArgument
from services.policy.config import PolicyConfig
from services.policy.engine.request import OutputMode
from services.policy.engine.served_model import ServedModel
from services.policy.media_cache import MediaCache
from services.policy.model_limits import check_modalities

_SHORT_CHARS = 1000  # some 0.1 ms


@dataclass(frozen=True, slots=True)
class ReadPrompt:
    """A prompt as sent, its media resolved, and as the model reads it."""

    conversation: Conversation
    encoded: EncodedPrompt


class PromptReader:
    """Reads prompts; remembers the media of those that were good."""

    def __init__(self, config: PolicyConfig, media: MediaCache, decode: MediaDecoder) -> None:
        self._config = config
        self._media = media
        self._decode = decode

    async def read(
        self, prompt: content_pb2.Prompt, tenant: str, served: ServedModel, mode: OutputMode
    ) -> ReadPrompt:
        """Raises InvalidArgument, NotFound (an unknown hash), and MediaError, PromptError."""
        _check_limits(prompt, self._config)
        conversation = conversation_from_proto(
            prompt, lambda sha256: self._media.get(tenant, sha256)
        )
        check_modalities(conversation, served)
        is_image = mode is OutputMode.IMAGE
        encode = partial(served.preprocessor.encode, conversation, is_image, self._decode)
        encoded = encode() if _is_short(prompt) else await asyncio.to_thread(encode)
        for turn in conversation:
            for part in turn.parts:
                if isinstance(part, Medium):
                    self._media.put(tenant, part.data)
        return ReadPrompt(conversation, encoded)


def _is_short(prompt: content_pb2.Prompt) -> bool:
    """Whether a prompt is read sooner than a thread takes over."""
    parts = [part for message in prompt.messages for part in message.parts]
    is_without_media = not any(part.HasField("media") for part in parts)
    return is_without_media and sum(len(part.text) for part in parts) <= _SHORT_CHARS


def _check_limits(prompt: content_pb2.Prompt, config: PolicyConfig) -> None:
    parts = [part for message in prompt.messages for part in message.parts]
    num_chars = sum(len(part.text) for part in parts)
    num_bytes = sum(len(part.media.data) for part in parts)
    num_tokens = sum(len(part.tokens.ids) for part in parts)
    max_bytes = config.max_media_mib << 20
    for name, count, limit in (
        ("parts", len(parts), config.max_parts),
        ("messages", len(prompt.messages), config.max_parts),
        ("characters", num_chars, config.max_text_chars),
        ("token ids", num_tokens, config.max_text_chars),
        ("bytes of media", num_bytes, max_bytes),
    ):
        if count > limit:
            raise InvalidArgument(f"the prompt has {count} {name}; at most {limit} are allowed")
