"""What the figures stand beside: what needs no model, and what the image tokenizer lets through.

N pictures, D their pixels in a row.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from services.cli.experiments.emoji.importing import small
from services.cli.experiments.emoji.source import Emoji
from services.cli.experiments.outcome import Bound
from services.cli.experiments.task_file import Split
from services.common.checks.colours import cell_colours, skill
from services.common.checks.words import f1, words_of
from services.common.world.drawing import BACKGROUND

_GROUND_3 = np.array(BACKGROUND, np.float64)


def caption_bounds(splits: Mapping[Split, Sequence[Emoji]], seed: int) -> list[Bound]:
    """Captions given without seeing the picture, or by the training picture most like it."""
    train, heldout = splits["train"], splits["heldout"]
    rng = Random(f"emoji captions {seed}")
    [(kind, _)] = Counter(e.kind for e in train).most_common(1)
    captions = [words_of(e.caption) for e in train]
    nearest = _nearest(_flat_ND(heldout), _flat_ND(train))
    guesses = {
        "another's caption": [rng.choice(captions) for _ in heldout],
        f"always {kind!r}": [words_of(kind)] * len(heldout),
        "caption of the nearest training picture": [captions[index] for index in nearest],
    }
    return [Bound(name, "caption", _mean_f1(heldout, said)) for name, said in guesses.items()]


def draw_bounds(splits: Mapping[Split, Sequence[Emoji]], seed: int) -> list[Bound]:
    """Pictures that are drawn without reading the name."""
    train, heldout = splits["train"], splits["heldout"]
    rng = Random(f"emoji pictures {seed}")
    colours = [_colours(e) for e in train]
    mean = np.mean(colours, axis=0)
    floors = {
        "another's picture": [rng.choice(colours) for _ in heldout],
        "the mean picture": [mean for _ in heldout],
    }
    return [Bound(name, "draw", _mean_skill(heldout, drawn)) for name, drawn in floors.items()]


def ceiling(heldout: Sequence[Emoji], round_trips: Path) -> Bound:
    """The true pictures as they come back from the image tokenizer."""
    drawn = []
    for emoji in heldout:
        with Image.open(round_trips / f"{emoji.hexcode}.png") as picture:
            drawn.append(cell_colours(np.asarray(picture.convert("RGB"))))
    return Bound("ceiling: round trip of the image tokenizer", "draw", _mean_skill(heldout, drawn))


def _mean_f1(emoji: Sequence[Emoji], said: Sequence[list[str]]) -> float:
    pairs = zip(emoji, said, strict=True)
    return float(np.mean([f1(words_of(e.caption), words) for e, words in pairs]))


def _mean_skill(emoji: Sequence[Emoji], drawn: Sequence[NDArray[np.float64]]) -> float:
    pairs = zip(emoji, drawn, strict=True)
    return float(np.mean([skill(_colours(e), colours, _GROUND_3) for e, colours in pairs]))


def _colours(emoji: Emoji) -> NDArray[np.float64]:
    return cell_colours(np.asarray(small(emoji)))


def _flat_ND(emoji: Sequence[Emoji]) -> NDArray[np.float32]:
    return np.stack([np.asarray(small(e), np.float32).ravel() for e in emoji])


def _nearest(from_ND: NDArray[np.float32], among_ND: NDArray[np.float32]) -> list[int]:
    """The index, in `among`, of the nearest by squared distance."""
    return [int(np.argmin(((among_ND - one_D) ** 2).sum(axis=1))) for one_D in from_ND]
