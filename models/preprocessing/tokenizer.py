"""BPE whose special ids cannot be typed: text encodes to text, whatever it says.

The project's own specials are vocabulary entries that no merge can build, a family's are taken out
of the vocabulary, and neither are registered as added tokens, so `encode` never yields one. Used by
the preprocessor and, for streaming, by the policy engine.
"""

import codecs
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from models.preprocessing import family_vocabulary
from models.preprocessing.special_tokens import SpecialTokens
from models.preprocessing.token_scheme import TokenScheme, own_scheme

_NAMES = (
    *("pad", "bos", "system", "user", "assistant", "end"),
    *("image", "begin_of_image", "end_of_image", "audio", "video"),
)


class Tokenizer:
    """Text to ids and back. `scheme` says what other ids there are, and how turns are spelled."""

    def __init__(
        self,
        backend: tokenizers.Tokenizer,
        definition: str,
        scheme: TokenScheme,
        bytes_by_id: Mapping[int, bytes],
    ) -> None:
        self._backend = backend
        self._definition = definition
        self._bytes_by_id = bytes_by_id
        others = set(range(scheme.num_ids)) - bytes_by_id.keys() - scheme.special.ids()
        self.special = replace(scheme.special, others=frozenset(others))
        self.scheme = scheme
        self.vocab_size = scheme.num_ids

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
    def from_json(cls, text: str, scheme: TokenScheme | None = None) -> Self:
        """Reads the content of a tokenizer.json; its special added tokens are dropped (see the
        module). Without a scheme it is the project's own, with specials under their names.

        Raises ValueError.
        """
        return cls._own(text) if scheme is None else cls._of_family(text, scheme)

    @classmethod
    def load(cls, path: Path, scheme: TokenScheme | None = None) -> Self:
        return cls.from_json(path.read_text(), scheme)

    def save(self, path: Path) -> None:
        path.write_text(self.to_json())

    def to_json(self) -> str:
        return self._definition

    def encode(self, text: str) -> list[int]:
        """Ids of `text`, never a special one."""
        return self._backend.encode(text, add_special_tokens=False).ids

    def decode(self, ids: Sequence[int]) -> str:
        """Text of `ids`; special ids are left out, bytes that are not UTF-8 become U+FFFD."""
        return b"".join(map(self.token_bytes, ids)).decode("utf-8", errors="replace")

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes that an id stands for; none for a special id or an image code."""
        return self._bytes_by_id.get(token_id, b"")

    @classmethod
    def _own(cls, text: str) -> Self:
        definition = {**json.loads(text), "added_tokens": []}
        backend = _backend(json.dumps(definition))
        vocabulary = backend.get_vocab()
        missing = [name for name in _NAMES if f"<|{name}|>" not in vocabulary]
        if missing:
            raise ValueError(f"tokenizer lacks special tokens: {', '.join(missing)}")
        special = _own_special({name: vocabulary.pop(f"<|{name}|>") for name in _NAMES})
        scheme = own_scheme(special, backend.get_vocab_size())
        byte_of = family_vocabulary.byte_of_character()
        spelled = {i: bytes(byte_of[c] for c in token) for token, i in vocabulary.items()}
        return cls(backend, backend.to_str(pretty=True), scheme, spelled)

    @classmethod
    def _of_family(cls, text: str, scheme: TokenScheme) -> Self:
        definition = family_vocabulary.text_only(json.loads(text), scheme.special.ids())
        spelled = family_vocabulary.bytes_by_id(definition)
        beyond = sorted(token_id for token_id in spelled if token_id >= scheme.num_ids)
        if beyond:
            raise ValueError(f"tokenizer has ids {beyond[:4]}, the model {scheme.num_ids}")
        kept = json.dumps(definition, ensure_ascii=False)
        return cls(_backend(kept), kept, scheme, spelled)


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


def _own_special(ids: Mapping[str, int]) -> SpecialTokens:
    return SpecialTokens(
        pad=ids["pad"],
        end=ids["end"],
        bos=ids["bos"],
        system=ids["system"],
        user=ids["user"],
        assistant=ids["assistant"],
        image=ids["image"],
        begin_of_image=ids["begin_of_image"],
        end_of_image=ids["end_of_image"],
        audio=ids["audio"],
        video=ids["video"],
    )


def _backend(definition: str) -> tokenizers.Tokenizer:
    try:
        return tokenizers.Tokenizer.from_str(definition)
    except Exception as error:  # the library's errors have no class below Exception
        raise ValueError(f"tokenizer.json cannot be used: {error}") from error
