"""Which ids may follow: the one source for the engine's sampling and the trainer's likelihood.

Text positions draw from the text ids that may be sampled. `begin_of_image` is among them only
where the request allows images; after it come exactly T codes, then `end_of_image`, forced (it has
probability 1 and so log-probability 0).
Legend: V text ids, B batch, T completion length.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor

from models.preprocessing.special_tokens import SpecialTokens


class Kind(IntEnum):
    """What a position holds, and so which head and which ids decide it."""

    TEXT = 0
    CODE = 1
    END_OF_IMAGE = 2


@dataclass(frozen=True, slots=True)
class Grammar:
    """Rules of one model. Codes are ids `vocab_size + code`; a model without draws no images."""

    vocab_size: int
    codebook_size: int
    codes_per_image: int
    special: SpecialTokens

    @property
    def draws_images(self) -> bool:
        return self.codes_per_image > 0

    @property
    def end_of_image(self) -> int:
        """What is forced after an image's codes. ValueError for a model that draws none."""
        if self.special.end_of_image is None:
            raise ValueError("this model draws no pictures: it has no end_of_image")
        return self.special.end_of_image

    def text_mask_V(self, allow_image: bool) -> Tensor:
        """bool [V], true where an id may be sampled as text. `end` always may."""
        mask_V = torch.ones(self.vocab_size, dtype=torch.bool)
        mask_V[sorted(self.special.ids() - {self.special.end})] = False
        if self.special.begin_of_image is not None:
            mask_V[self.special.begin_of_image] = allow_image and self.draws_images
        return mask_V

    def next_kind(self, ids: Sequence[int]) -> Kind:
        """Kind of the position after `ids` (prompt, or prompt and answer so far)."""
        for num_codes, token_id in enumerate(reversed(ids[-self.codes_per_image - 1 :])):
            if token_id == self.special.begin_of_image:
                return Kind.CODE if num_codes < self.codes_per_image else Kind.END_OF_IMAGE
            if token_id < self.vocab_size:
                return Kind.TEXT
        return Kind.TEXT

    def kinds(self, targets: Tensor) -> Tensor:
        """Kind of each position by the id that stands there; any shape, for finished answers."""
        is_code = (targets >= self.vocab_size).long()
        if not self.draws_images:
            return is_code
        is_end = (targets == self.end_of_image).long()
        return is_code * Kind.CODE + is_end * Kind.END_OF_IMAGE

    def check(self, prompt_ids: Sequence[int], answer_ids: Sequence[int]) -> None:
        """ValueError where an answer breaks the rules, naming the position."""
        ids = list(prompt_ids)
        forbidden = self.special.ids() - {self.special.end, self.special.begin_of_image}
        for position, token_id in enumerate(answer_ids):
            kind = self.next_kind(ids)
            fits = {
                Kind.TEXT: token_id < self.vocab_size and token_id not in forbidden,
                Kind.CODE: 0 <= token_id - self.vocab_size < self.codebook_size,
                Kind.END_OF_IMAGE: token_id == self.special.end_of_image,
            }[kind]
            if not fits:
                raise ValueError(f"answer id {token_id} at {position}: expected {kind.name}")
            ids.append(token_id)
