"""Readies a version out of its files: hashed by one thread, read and packed by another.

Nothing is given out before the hashes are right.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from models import checkpoint
from services.common.version_store import Manifest, verify
from services.policy.engine.placement import Placement
from services.policy.engine.served_model import ServedModel, served_model, without_definition

_MAX_KNOWN = 4


class VersionLoader:
    """May be used by several threads. Versions of the same tokenizer share what was read of it:
    reading one of 24,000 ids takes 0.3 s, in which nothing else of Python runs."""

    def __init__(self, placement: Placement) -> None:
        self._placement = placement
        self._known: dict[frozenset[tuple[str, str]], checkpoint.Described] = {}

    def load(self, folder: Path, manifest: Manifest) -> ServedModel:
        """Raises DataLoss, CheckpointError, ValueError where a precision does not suit it."""
        with ThreadPoolExecutor(1, "hashing") as threads:
            verified = threads.submit(verify, folder, manifest)
            try:
                loaded = checkpoint.borrow(folder, self._known.get(_description(manifest)))
                served = served_model(manifest.version, loaded, self._placement)
            finally:
                verified.result()  # of a damaged file this is said, whatever became of reading it
        self._remember(manifest, loaded)
        return without_definition(served)

    def _remember(self, manifest: Manifest, loaded: checkpoint.Checkpoint) -> None:
        if len(self._known) >= _MAX_KNOWN:
            self._known.clear()
        self._known[_description(manifest)] = (loaded.model.config, loaded.preprocessor)


def _description(manifest: Manifest) -> frozenset[tuple[str, str]]:
    """All files but the weights, by their hashes."""
    others = (file for file in manifest.files if not file.name.endswith(".safetensors"))
    return frozenset((file.name, file.sha256) for file in others)
