"""Random checkpoints of one shape, made before anything is measured."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from services.cli.errors import UserError
from services.common.version_store import Manifest, describe

KIND = "policy"
_TIMEOUT_S = 600


@dataclass(frozen=True, slots=True)
class Shape:
    """What is made of every checkpoint."""

    size: str
    dtype: str


@dataclass(frozen=True, slots=True)
class Built:
    """A checkpoint outside the store, and the version that it becomes there."""

    folder: Path
    manifest: Manifest

    @property
    def version(self) -> str:
        return self.manifest.version

    @property
    def files(self) -> list[Path]:
        return [self.folder / file.name for file in self.manifest.files]

    @property
    def num_bytes(self) -> int:
        return sum(file.size_bytes for file in self.manifest.files)


def make_checkpoints(folder: Path, shape: Shape, count: int) -> list[Path]:
    """In a process of its own: the command line carries no torch."""
    seeds = [str(seed) for seed in range(count)]
    command = [sys.executable, "-m", "services.policy.bench.random_llama"]
    made = subprocess.run(
        [*command, str(folder), shape.size, shape.dtype, *seeds],
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
    )
    if made.returncode:
        raise UserError("the checkpoints could not be made", made.stderr.strip()[-500:])
    return [folder / seed for seed in seeds]


def built(folder: Path, fingerprint: str) -> Built:
    """Hashes a checkpoint as its publisher would."""
    return Built(folder, describe(KIND, folder, fingerprint, {"name": folder.name}))
