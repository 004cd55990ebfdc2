"""A plain sampler for validation: prompts of equal length together, keys and values concatenated.

The policy engine is the fast one; this one is short enough to check it against.
Legend: B batch, L length, D width, V text ids, K codes.
"""

from collections import defaultdict
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from models.checkpoint import Checkpoint
from models.grammar import Kind
from models.media import MediaTensors
from models.preprocessing.encoded_prompt import EncodedPrompt
from models.preprocessing.media_arrays import MediaArrays


class GrowingCache:
    """Attention that keeps what it has seen; a first call with many positions, then one each."""

    def __init__(self) -> None:
        self._key_value: dict[int, tuple[Tensor, Tensor]] = {}

    def __call__(
        self, layer: int, query_BHLK: Tensor, key_BJLK: Tensor, value_BJLK: Tensor
    ) -> Tensor:
        if layer in self._key_value:
            before_key, before_value = self._key_value[layer]
            key_BJLK = torch.cat([before_key, key_BJLK], dim=2)
            value_BJLK = torch.cat([before_value, value_BJLK], dim=2)
        self._key_value[layer] = key_BJLK, value_BJLK
        repeats = query_BHLK.shape[1] // key_BJLK.shape[1]
        return F.scaled_dot_product_attention(
            query_BHLK,
            key_BJLK.repeat_interleave(repeats, dim=1),
            value_BJLK.repeat_interleave(repeats, dim=1),
            is_causal=query_BHLK.shape[2] > 1,
        )


@torch.no_grad()
def sample(
    checkpoint: Checkpoint,
    prompts: Sequence[EncodedPrompt],
    max_tokens: int,
    temperature: float,
    generator: torch.Generator,
) -> list[list[int]]:
    """One answer per prompt, without what follows `end`; temperature 0 takes the likeliest id.

    Prompts all begin an image or none does.
    """
    rows_by_length: dict[int, list[int]] = defaultdict(list)
    for row, prompt in enumerate(prompts):
        rows_by_length[len(prompt.token_ids)].append(row)
    answers: list[list[int]] = [[] for _ in prompts]
    for rows in rows_by_length.values():
        group = [prompts[row] for row in rows]
        drawn = _sample_group(checkpoint, group, max_tokens, temperature, generator)
        for row, answer in zip(rows, drawn, strict=True):
            answers[row] = answer
    return answers


def _sample_group(
    checkpoint: Checkpoint,
    prompts: Sequence[EncodedPrompt],
    max_tokens: int,
    temperature: float,
    generator: torch.Generator,
) -> list[list[int]]:
    model, grammar = checkpoint.model, checkpoint.grammar
    token_ids_BL = torch.stack([torch.from_numpy(prompt.token_ids) for prompt in prompts])
    media = MediaArrays.concatenate([prompt.media for prompt in prompts])
    features_FD = model.encode_media(MediaTensors.from_arrays(media))
    hidden_BLD = model.embed(token_ids_BL, features_FD)
    is_allowed_V = grammar.text_mask_V(allow_image=False)
    cache, start = GrowingCache(), 0
    for _ in range(max_tokens):
        positions_BL = torch.arange(start, start + hidden_BLD.shape[1]).expand(len(prompts), -1)
        last_BD = model.decode(hidden_BLD, positions_BL, cache)[:, -1]
        kind = grammar.next_kind(token_ids_BL[0].tolist())
        if kind is Kind.CODE:
            next_B = _draw(model.image_logits(last_BD), temperature, generator) + grammar.vocab_size
        elif kind is Kind.END_OF_IMAGE:
            next_B = torch.full((len(prompts),), grammar.end_of_image)
        else:
            logits_BV = model.text_logits(last_BD).masked_fill(~is_allowed_V, -torch.inf)
            next_B = _draw(logits_BV, temperature, generator)
        start = token_ids_BL.shape[1]
        token_ids_BL = torch.cat([token_ids_BL, next_B[:, None]], dim=1)
        answers_BL = token_ids_BL[:, len(prompts[0].token_ids) :]
        if (answers_BL == grammar.special.end).any(dim=1).all():
            break
        hidden_BLD = model.embed(next_B[:, None])
    return [_until_end(row, grammar.special.end) for row in answers_BL.tolist()]


def _draw(logits: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    if temperature == 0:
        return logits.argmax(dim=-1)
    chances = (logits.float() / temperature).softmax(dim=-1)
    return torch.multinomial(chances, 1, generator=generator).squeeze(-1)


def _until_end(ids: list[int], end: int) -> list[int]:
    return ids[: ids.index(end)] if end in ids else ids
