"""What the bits of an update depend on besides its inputs; recorded by runs, compared by replay."""

import hashlib
import platform
from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict

from services.trainer.run_folder import replace_file


class Fingerprint(BaseModel):
    """Machine, threads and libraries."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    machine: str
    processor: str
    threads: int
    python: str
    torch: str
    torch_capability: str
    numpy: str

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]

    def differences(self, other: "Fingerprint") -> list[str]:
        """ "threads: 2, here 1" and so on."""
        ours, theirs = self.model_dump(), other.model_dump()
        return [f"{k}: {v}, here {theirs[k]}" for k, v in ours.items() if v != theirs[k]]


def current_fingerprint() -> Fingerprint:
    """Of this process as it is."""
    return Fingerprint(
        machine=platform.machine(),
        processor=_processor(),
        threads=torch.get_num_threads(),
        python=platform.python_version(),
        torch=torch.__version__,
        torch_capability=torch.backends.cpu.get_cpu_capability(),
        numpy=np.__version__,
    )


def make_deterministic(threads: int) -> None:
    """For the whole process: this many threads, and only kernels that give the same bits again."""
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    # Else every empty() is filled, a debugging aid that takes a tenth of an update.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def record_fingerprint(path: Path, fingerprint: Fingerprint) -> None:
    """Adds one to those that a run was computed under."""
    known = recorded_fingerprints(path)
    if fingerprint.digest not in known:
        lines = [*(f.model_dump_json() for f in known.values()), fingerprint.model_dump_json()]
        replace_file(path, ("\n".join(lines) + "\n").encode(), durably=True)


def recorded_fingerprints(path: Path) -> dict[str, Fingerprint]:
    """By digest."""
    lines = path.read_text().splitlines() if path.exists() else []
    fingerprints = [Fingerprint.model_validate_json(line) for line in lines]
    return {fingerprint.digest: fingerprint for fingerprint in fingerprints}


def _processor() -> str:
    """The chip's name and a digest of its instruction sets."""
    fields = dict[str, str]()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    flags = hashlib.sha256(fields.get("flags", "").encode()).hexdigest()[:8]
    return f"{fields.get('model name', 'unknown')} ({flags})"
