"""The random checkpoint that all contestants load."""

from dataclasses import dataclass
from pathlib import Path

from services.cli.bench.random_checkpoint import Family, make_random


@dataclass(frozen=True, slots=True)
class Drawing:
    """Of a model that draws: what ends a prompt, and the codes of a picture."""

    begin_of_image: int
    tokens_per_image: int


@dataclass(frozen=True, slots=True)
class Model:
    """Where it lies and what it holds."""

    folder: Path
    dtype: str
    num_parameters: int
    num_looked_up: int  # of the embeddings, of which a token reads one row
    vocab_size: int
    drawing: Drawing | None = None

    @property
    def num_multiplied(self) -> int:
        return self.num_parameters - self.num_looked_up


def make_model(folder: Path, family: Family, size: str, dtype: str) -> Model:
    """Raises UserError."""
    described = make_random(family, str(folder), size, dtype)
    if "drawing" in described:
        described["drawing"] = Drawing(**described["drawing"])
    return Model(folder=folder, dtype=dtype, **described)
