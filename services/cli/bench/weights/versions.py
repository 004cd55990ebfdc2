"""Random checkpoints of one shape, made before anything is measured."""

from dataclasses import dataclass
from pathlib import Path

from services.cli.bench.random_checkpoint import make_random
from services.common.version_store import Manifest, describe

KIND = "policy"


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
    """Raises UserError."""
    seeds = [str(seed) for seed in range(count)]
    make_random("llama", str(folder), shape.size, shape.dtype, *seeds)
    return [folder / seed for seed in seeds]


def built(folder: Path, fingerprint: str) -> Built:
    """Hashes a checkpoint as its publisher would."""
    return Built(folder, describe(KIND, folder, fingerprint, {"name": folder.name}))
