"""Trains the tokenizer: the world's sentences, numbers, and a little plain English."""

from collections.abc import Iterator

from models.preprocessing.tokenizer import Tokenizer
from services.common.world.families.exercise import ALL_FAMILIES
from services.common.world.items import make_item
from services.common.world.sampling import LEVELS
from services.trainer.pretraining.config import TokenizerStage

# So that people's sentences (NLVR, chat) cost fewer tokens than bytes would.
_ENGLISH = """
there is exactly one black item in every box with the same color and it is not touching the edge
there are at least two yellow squares and at most three blue triangles closely touching the wall
hello how can you help me please tell what you see in this image of an object on the left side
yes no true false I think that they have more than four items with different colors or shapes
one two three four five six seven eight nine ten tower block base top bottom corner all only each
""".strip().splitlines()


def train_tokenizer(config: TokenizerStage) -> Tokenizer:
    """The same tokenizer for the same configuration."""
    return Tokenizer.train(_corpus(config), config.vocab_size)


def _corpus(config: TokenizerStage) -> Iterator[str]:
    for level in LEVELS:
        for family in ALL_FAMILIES:
            for index in range(config.items_per_family):
                item = make_item(family, "train", index, level)
                yield item.prompt_text
                yield item.target_text or ""
    for _ in range(max(1, config.items_per_family // 10)):
        yield " ".join(["x", *map(str, range(33))])  # each number a token, with its space
        yield from _ENGLISH
