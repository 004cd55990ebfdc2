"""Makes scorers: programs, reward models from the version store, users' functions, blends."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from models.preprocessing.decoding import MediaDecoder
from services.common.errors import FailedPrecondition, InvalidArgument, NotFound, PermissionDenied
from services.common.version_store import VersionStore, verify
from services.reward.aliases import KIND
from services.reward.batcher import BatchLimits
from services.reward.catalog import BlendRecord, UserRecord, user_record
from services.reward.config import RewardConfig
from services.reward.metrics import RewardMetrics
from services.reward.scorers.batched import BatchedScorer, ScorerTools
from services.reward.scorers.blend import BlendScorer, WeightedScorer
from services.reward.scorers.contract import Scorer
from services.reward.scorers.onnx import LoadedReward, OnnxScorer, load_reward
from services.reward.scorers.program import PROGRAMS, ProgramScorer
from services.reward.scorers.user import UserLimits, open_user_scorer
from services.reward.scorers.user_process import UserCode, UserProcessEnded

_PROGRAM_ROWS = 32

S = TypeVar("S", bound=BatchedScorer[Any])


@dataclass(frozen=True, slots=True)
class DescribedUser:
    """A user's function with the source that its name was made from."""

    record: UserRecord
    code: UserCode


class ScorerFactory:
    """Holds the threads that scorers share; the graphs of all reward models take turns in one."""

    def __init__(
        self,
        config: RewardConfig,
        store: VersionStore,
        metrics: RewardMetrics,
        decode: MediaDecoder,
    ) -> None:
        self._config = config
        self._decode = decode
        self._store = store
        self._metrics = metrics
        self._threads = ThreadPoolExecutor(config.num_threads, thread_name_prefix="prepare")
        self._compute = ThreadPoolExecutor(1, thread_name_prefix="compute")

    def close(self) -> None:
        """Ends the threads; scorers must be closed before."""
        self._threads.shutdown()
        self._compute.shutdown()

    def programs(self) -> list[Scorer]:
        """One scorer for each program."""
        limits = self._limits(max_rows=_PROGRAM_ROWS)
        return [
            self._watched(ProgramScorer(name, program, self._tools(name, limits)))
            for name, program in PROGRAMS.items()
        ]

    async def version(self, version: str) -> Scorer:
        """A version of the store, verified, loaded and warm.

        Raises NotFound, DataLoss for wrong checksums, FailedPrecondition for what does not load.
        """
        loaded = await asyncio.to_thread(self._load, version)
        limits = self._limits(self._config.batch_rows, self._config.batch_delay_ms / 1000)
        return self._watched(
            OnnxScorer(version, loaded, self._compute, self._decode, self._tools(version, limits))
        )

    def describe_user(
        self, file: str, function: str, deadline_s: float | None = None
    ) -> DescribedUser:
        """A function in a trusted file. Raises PermissionDenied, NotFound, InvalidArgument."""
        item_s = self._config.user_item_s if deadline_s is None else deadline_s
        longest_s = self._config.user_item_max_s
        if not 0 < item_s <= longest_s:
            raise InvalidArgument(
                f"deadline_s is {item_s}; expected above 0 and at most {longest_s}"
            )
        if not function.isidentifier():
            raise InvalidArgument(f"function {function!r} is not a name; give the function's")
        path = _trusted_file(Path(file), self._config.user_scorer_roots)
        source = path.read_text(errors="replace")
        record = user_record(path, function, item_s, source)
        return DescribedUser(record, UserCode(path, function, source))

    async def user(self, described: DescribedUser) -> Scorer:
        """A function in a process of its own. Raises FailedPrecondition if it does not load."""
        name = described.record.name
        limits = UserLimits(
            item_s=described.record.deadline_s,
            start_s=self._config.user_start_s,
            max_backoff_s=self._config.user_backoff_s,
        )
        tools = self._tools(name, self._limits(max_rows=1))
        try:
            return self._watched(await open_user_scorer(name, described.code, limits, tools))
        except UserProcessEnded as error:
            raise FailedPrecondition(str(error)) from error

    def blend(self, record: BlendRecord, resident: Callable[[str], Scorer]) -> Scorer:
        """A blend of resident scorers. `resident` raises NotFound."""
        terms = [WeightedScorer(resident(term.name), term.weight) for term in record.terms]
        return BlendScorer(record.name, terms, record.rule)

    def _load(self, version: str) -> LoadedReward:
        folder = self._store.folder(KIND, version)
        verify(folder, self._store.manifest(KIND, version))
        try:
            return load_reward(folder, self._config.num_threads)
        except ValueError as error:
            raise FailedPrecondition(
                f"{version} is not a reward model to serve: {error}"
            ) from error

    def _limits(self, max_rows: int, max_delay_s: float = 0.0) -> BatchLimits:
        return BatchLimits(
            max_rows=max_rows,
            max_padded_tokens=self._config.batch_tokens,
            max_delay_s=max_delay_s,
            max_queued_rows=self._config.queue_rows,
        )

    def _tools(self, name: str, limits: BatchLimits) -> ScorerTools:
        return ScorerTools(
            threads=self._threads,
            limits=limits,
            observe=self._metrics.batch_observer(name),
            count_reused=self._metrics.reuse_counter(name),
            max_known=self._config.known_scores,
        )

    def _watched(self, scorer: S) -> S:
        self._metrics.watch_queue(scorer.info.name, lambda: scorer.queued_rows)
        return scorer


def _trusted_file(file: Path, roots: tuple[Path, ...]) -> Path:
    """The file itself, links followed, if it lies under a root."""
    if not file.is_absolute():
        raise InvalidArgument(f"file {str(file)!r} is relative; give its absolute path")
    path = file.resolve()
    if not any(path.is_relative_to(root.resolve()) for root in roots):
        trusted = ", ".join(map(str, roots)) or "none"
        raise PermissionDenied(
            f"{file} is not under a trusted folder ({trusted}); see user_scorer_roots"
        )
    if not path.is_file():
        raise NotFound(f"there is no file {file}")
    return path
