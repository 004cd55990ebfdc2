"""How good a model is on unseen scenes: loss per family, and what the world's checkers say."""

from collections.abc import Sequence

import numpy as np
import torch

from models.checkpoint import Checkpoint
from models.preprocessing.conversation import Part, Picture, Role, Text, Turn
from models.preprocessing.images import encode_png
from services.common.world.checkers import check
from services.common.world.families.exercise import Family
from services.common.world.items import WorldItem, make_item
from services.common.world.sampling import Split
from services.trainer.pretraining.batches import collate
from services.trainer.pretraining.learning import family_losses
from services.trainer.pretraining.pixels import to_pixels
from services.trainer.pretraining.sampling import sample

_CHUNK = 64
_MAX_TEXT_TOKENS = 80


@torch.no_grad()
def validation_losses(
    checkpoint: Checkpoint, families: Sequence[Family], level: int, num_items: int
) -> dict[str, float]:
    """`loss_FAMILY` in nats per answer token, and their mean `loss`."""
    losses = {}
    for family in families:
        items = items_of(family, "validation", level, num_items)
        batch = collate(checkpoint.preprocessor, items, checkpoint.model.config.codes_per_image)
        found = family_losses(checkpoint.model, checkpoint.grammar, batch)
        losses[f"loss_{family}"] = found.by_family[family].item()
    return {"loss": float(np.mean(list(losses.values()))), **losses}


def validation_scores(
    checkpoint: Checkpoint,
    families: Sequence[Family],
    level: int,
    num_items: int,
    temperature: float = 1.0,
    split: Split = "validation",
    seed: int = 0,
) -> dict[str, float]:
    """`score_FAMILY` 0..1 by the world's checkers, and their mean `score`."""
    generator = torch.Generator().manual_seed(seed)
    scores = {
        f"score_{family}": score_family(
            checkpoint, items_of(family, split, level, num_items), temperature, generator
        )
        for family in families
    }
    return {"score": float(np.mean(list(scores.values()))), **scores}


def score_family(
    checkpoint: Checkpoint,
    items: Sequence[WorldItem],
    temperature: float,
    generator: torch.Generator,
) -> float:
    """Mean score of one sampled answer to each item of one family."""
    is_draw = items[0].family == "draw"
    room = checkpoint.model.config.codes_per_image + 2 if is_draw else _MAX_TEXT_TOKENS
    scores = []
    for start in range(0, len(items), _CHUNK):
        chunk = items[start : start + _CHUNK]
        prompts = [checkpoint.preprocessor.encode(item.conversation, is_draw) for item in chunk]
        answers = sample(checkpoint, prompts, room, temperature, generator)
        scores += [
            check(item.family, item.reference, answer_turn(checkpoint, ids)).score
            for item, ids in zip(chunk, answers, strict=True)
        ]
    return float(np.mean(scores))


def items_of(family: Family, split: Split, level: int, num_items: int) -> list[WorldItem]:
    return [make_item(family, split, index, level) for index in range(num_items)]


def answer_turn(checkpoint: Checkpoint, ids: Sequence[int]) -> Turn:
    """Sampled ids as an assistant's turn: words, and codes drawn as pictures."""
    parts: list[Part] = []
    for run in checkpoint.preprocessor.decode_answer(ids):
        if isinstance(run, str):
            parts.append(Text(run))
        elif len(run) == checkpoint.model.config.codes_per_image:
            pixels = to_pixels(checkpoint.model.vqmodel.decode(torch.tensor([run])))
            parts.append(Picture(encode_png(pixels[0])))
    return Turn(Role.ASSISTANT, tuple(parts))
