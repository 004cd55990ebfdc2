"""The random checkpoint that all contestants load."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from services.cli.errors import UserError

_TIMEOUT_S = 600


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


def make_model(folder: Path, family: Literal["llama", "janus"], size: str, dtype: str) -> Model:
    """In a process of its own: the command line carries no torch. Raises UserError."""
    command = [sys.executable, "-m", f"services.policy.bench.random_{family}"]
    made = subprocess.run(
        [*command, str(folder), size, dtype], capture_output=True, text=True, timeout=_TIMEOUT_S
    )
    if made.returncode:
        raise UserError("the checkpoint could not be made", made.stderr.strip()[-500:])
    described = json.loads(made.stdout)
    if "drawing" in described:
        described["drawing"] = Drawing(**described["drawing"])
    return Model(folder=folder, dtype=dtype, **described)
