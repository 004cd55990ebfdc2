"""Conversations to token ids and media, and sampled ids back to text and image codes.

A prompt is `bos`, each turn as the model's token scheme spells it, then the opening of the answer.
A medium stands as placeholder ids, which fusion (models/omni.py) replaces with features: so many
for each tile of a picture, each frame of a clip, and each stretch of a recording.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.preprocessing.conversation import Conversation, Medium, Turn
from models.preprocessing.decoding import MediaDecoder, decode_medium
from models.preprocessing.encoded_prompt import EncodedPrompt, PromptError
from models.preprocessing.media_arrays import MediaArrays
from models.preprocessing.preprocessor_config import PreprocessorConfig
from models.preprocessing.prompt_writer import PromptWriter
from models.preprocessing.special_tokens import SpecialTokens
from models.preprocessing.tokenizer import Tokenizer


class Preprocessor:
    """The one way from content to ids. `fingerprint` names it wherever ids travel."""

    def __init__(self, config: PreprocessorConfig, tokenizer: Tokenizer) -> None:
        self.config = config
        self.tokenizer = tokenizer
        definition = config.model_dump_json() + tokenizer.to_json()
        self.fingerprint = hashlib.sha256(definition.encode()).hexdigest()[:16]

    def encode(
        self,
        conversation: Conversation,
        begin_image: bool = False,
        decode: MediaDecoder = decode_medium,
    ) -> EncodedPrompt:
        """The prompt up to where the answer starts; `begin_image` makes that answer a picture."""
        if not conversation:
            raise PromptError("a conversation needs at least one turn")
        writer = self._writer(decode)
        writer.add_turns(conversation)
        writer.add_spelling(self.tokenizer.scheme.assistant.opening)
        if begin_image:
            writer.add_spelling((self._begin_of_image(),))
        return writer.encoded()

    def encode_with_answer(
        self, conversation: Conversation, answer: Turn, decode: MediaDecoder = decode_medium
    ) -> EncodedPrompt:
        """Prompt and answer, as the reward model reads them: ends with the end-of-turn id.

        A `Picture` in the answer is seen through the vision tower, as in any other turn.
        """
        writer = self._writer(decode)
        writer.add_turns((*conversation, answer))
        return writer.encoded()

    def media_arrays(
        self, media: Sequence[Medium], decode: MediaDecoder = decode_medium
    ) -> MediaArrays:
        """What `encode` gives for a prompt with these media."""
        writer = self._writer(decode)
        for medium in media:
            writer.add_medium(medium)
        return writer.encoded().media

    def decode_answer(self, ids: Sequence[int]) -> list[str | list[int]]:
        """Sampled ids as runs: text, or the codes (0 … K-1) of one picture.

        Specials end a run and are left out. A run of codes that was cut short is returned short.
        """
        runs: list[str | list[int]] = []
        text: list[int] = []
        codes: list[int] = []
        special_ids = self.tokenizer.special.ids()
        for token_id in ids:
            (codes if token_id >= self.tokenizer.vocab_size else text).append(token_id)
            is_break = token_id in special_ids
            if codes and (is_break or token_id < self.tokenizer.vocab_size):
                runs.append(self._local(codes))
                codes = []
            if text and (is_break or codes):
                runs += [self.tokenizer.decode(text)]
                text = []
        runs += [self.tokenizer.decode(text)] if text else []
        runs += [self._local(codes)] if codes else []
        return [run for run in runs if run]

    def _writer(self, decode: MediaDecoder) -> PromptWriter:
        return PromptWriter(self.config, self.tokenizer, self.check_ids, decode)

    def _local(self, codes: list[int]) -> list[int]:
        return [code - self.tokenizer.vocab_size for code in codes]

    def check_ids(self, ids: Sequence[int], fingerprint: str) -> None:
        """Refuses ids of another preprocessing, out of range, or that only a prompt may hold."""
        if fingerprint != self.fingerprint:
            raise PromptError(
                f"token ids have fingerprint {fingerprint!r}; this model's is {self.fingerprint!r}"
            )
        special = self.tokenizer.special
        reserved = special.ids() - {special.end, special.begin_of_image, special.end_of_image}
        size = self.tokenizer.vocab_size + self.config.codebook_size
        for token_id in ids:
            if not 0 <= token_id < size or token_id in reserved:
                raise PromptError(f"token id {token_id} cannot stand in content (0 … {size - 1})")

    def _begin_of_image(self) -> int:
        begin_of_image = self.tokenizer.special.begin_of_image
        if begin_of_image is None:
            raise PromptError("this model draws no pictures; ask for text")
        return begin_of_image


def without_content(prompt_ids_L: NDArray[np.int64], special: SpecialTokens) -> NDArray[np.int64]:
    """The unconditional prompt of guidance: all but bos and begin_of_image become pad (Janus)."""
    is_kept_L = (prompt_ids_L == special.bos) | (prompt_ids_L == special.begin_of_image)
    return np.where(is_kept_L, prompt_ids_L, special.pad)
