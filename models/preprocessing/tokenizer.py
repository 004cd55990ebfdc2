"""Byte-level BPE whose special ids cannot be typed: text encodes to text, whatever it says.

Specials are vocabulary entries that no merge can build, and are not registered as added tokens,
so `encode` never yields one. Used by the preprocessor and, for streaming, by the policy engine.
"""

import codecs
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers


@dataclass(frozen=True, slots=True)
class SpecialTokens:
    """Ids with a meaning of their own. `image`, `audio` and `video` are placeholders, whose
    embeddings are replaced by features."""

    pad: int
    bos: int
    system: int
    user: int
    assistant: int
    end: int
    image: int
    begin_of_image: int
    end_of_image: int
    audio: int
    video: int

    def ids(self) -> frozenset[int]:
        return frozenset(getattr(self, field.name) for field in fields(self))


_NAMES = tuple(field.name for field in fields(SpecialTokens))


class Tokenizer:
    """Text to ids and back."""

    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        vocabulary = backend.get_vocab()
        missing = [name for name in _NAMES if f"<|{name}|>" not in vocabulary]
        if missing:
            raise ValueError(f"tokenizer lacks special tokens: {', '.join(missing)}")
        self._backend = backend
        self.special = SpecialTokens(**{name: vocabulary[f"<|{name}|>"] for name in _NAMES})
        self._special_ids = self.special.ids()
        self._bytes_by_id = _bytes_by_id(backend, self._special_ids)

    @classmethod
    def train(cls, corpus: Iterable[str], vocab_size: int = 512) -> Self:
        """Learns merges from `corpus`; every byte stays encodable."""
        backend = tokenizers.Tokenizer(models.BPE())
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        backend.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=[f"<|{name}|>" for name in _NAMES],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        backend.train_from_iterator(corpus, trainer)
        return cls.from_json(backend.to_str())

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Reads the content of a tokenizer.json; its added tokens are dropped (see the module)."""
        return cls(
            tokenizers.Tokenizer.from_str(json.dumps({**json.loads(text), "added_tokens": []}))
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        return cls.from_json(path.read_text())

    def save(self, path: Path) -> None:
        path.write_text(self.to_json())

    def to_json(self) -> str:
        return self._backend.to_str(pretty=True)

    @property
    def vocab_size(self) -> int:
        return self._backend.get_vocab_size()

    def encode(self, text: str) -> list[int]:
        """Ids of `text`, never a special one."""
        return self._backend.encode(text, add_special_tokens=False).ids

    def decode(self, ids: Sequence[int]) -> str:
        """Text of `ids`; special ids are left out, bytes that are not UTF-8 become U+FFFD."""
        return b"".join(map(self.token_bytes, ids)).decode("utf-8", errors="replace")

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes that an id stands for; none for a special id or an image code."""
        return self._bytes_by_id.get(token_id, b"")


class Detokenizer:
    """Decodes a stream of ids, holding back the bytes of a character that is not yet whole."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def add(self, token_id: int) -> str:
        """Text that this id completes; may be empty."""
        return self._decoder.decode(self._tokenizer.token_bytes(token_id))

    def finish(self) -> str:
        """What is still held back, as U+FFFD."""
        return self._decoder.decode(b"", final=True)


def _bytes_by_id(backend: tokenizers.Tokenizer, special_ids: frozenset[int]) -> dict[int, bytes]:
    byte_of = _byte_of_character()
    return {
        token_id: bytes(byte_of[character] for character in token)
        for token, token_id in backend.get_vocab().items()
        if token_id not in special_ids
    }


def _byte_of_character() -> dict[str, int]:
    """GPT-2's printable stand-ins for bytes, inverted."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    return {chr(b): b for b in printable} | {chr(256 + i): b for i, b in enumerate(others)}
