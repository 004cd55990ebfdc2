"""Runs workers: so many at a time, the rest in a bounded queue; watches over those it finds.

A worker is a process of its own session: it outlives a crash of this service, which adopts it at
the next start. One that dies leaves its run INTERRUPTED.
"""

import asyncio
import os
import signal
import sys
from collections import deque
from collections.abc import Coroutine

from services.common.errors import ResourceExhausted
from services.common.logs import get_logger
from services.trainer.config import TrainerConfig
from services.trainer.run_folder import RunFolder, RunState
from services.trainer.run_metrics import RunMetrics
from services.trainer.run_store import RunStore, set_state


class Scheduler:
    """Used on the event loop only."""

    def __init__(self, config: TrainerConfig, runs: RunStore, metrics: RunMetrics) -> None:
        self._config = config
        self._runs = runs
        self._metrics = metrics
        self._queue: deque[RunFolder] = deque()
        self._watchers: dict[str, asyncio.Task[None]] = {}
        self._pids: dict[str, int] = {}
        self._is_closing = False

    @property
    def num_queued(self) -> int:
        return len(self._queue)

    @property
    def num_running(self) -> int:
        return len(self._watchers)

    def recover(self) -> None:
        """Takes up what an earlier process of this service left."""
        for folder in reversed(self._runs.newest_first()):
            state, pid = folder.record().state, folder.holder()
            if pid is not None:
                self._watch(folder, self._adopted(folder, pid))
            elif state is RunState.QUEUED:
                self._queue.append(folder)
            elif not state.is_final:
                set_state(folder, RunState.INTERRUPTED, "its process died; resume the run")
        self._start_next()

    def check_room(self) -> None:
        """Raises ResourceExhausted when the queue is full."""
        if self.num_running >= self._config.max_running and (
            self.num_queued >= self._config.max_queued
        ):
            raise ResourceExhausted(
                f"{self.num_running} runs are running and {self.num_queued} wait, of at most"
                f" {self._config.max_queued}; stop one, or try again later"
            )

    def submit(self, folder: RunFolder) -> None:
        """Starts a queued run as soon as its turn comes."""
        self._queue.append(folder)
        self._start_next()

    async def settled(self, folder: RunFolder) -> None:
        """Waits for the end of a worker that has recorded how it ended and is still exiting."""
        watcher = self._watchers.get(folder.path.name)
        if watcher is not None:
            await asyncio.shield(watcher)

    def withdraw(self, folder: RunFolder) -> bool:
        """Takes a run out of the queue; False if it is not there."""
        waiting = [queued for queued in self._queue if queued.path == folder.path]
        for queued in waiting:
            self._queue.remove(queued)
        return bool(waiting)

    async def close(self) -> None:
        """Asks workers to end after their step; kills those that take longer than the drain."""
        self._is_closing = True
        watchers = list(self._watchers.values())
        self._signal_all(signal.SIGTERM)
        if watchers:
            await asyncio.wait(watchers, timeout=self._config.drain_s)
            self._signal_all(signal.SIGKILL)
            await asyncio.wait(watchers)

    def _start_next(self) -> None:
        while self._queue and self.num_running < self._config.max_running and not self._is_closing:
            folder = self._queue.popleft()
            self._watch(folder, self._run_worker(folder))

    def _watch(self, folder: RunFolder, life: Coroutine[None, None, int | None]) -> None:
        run_id = folder.path.name
        self._watchers[run_id] = asyncio.create_task(self._follow(folder, life))

    async def _follow(self, folder: RunFolder, life: Coroutine[None, None, int | None]) -> None:
        """Until the worker's end; then the next one's turn comes."""
        run_id = folder.path.name
        async with self._metrics.following(folder):
            status = await life
        if not folder.record().state.is_final:
            ended = "ended" if status is None else f"ended with status {status}"
            set_state(folder, RunState.INTERRUPTED, f"its process {ended}; resume the run")
        get_logger(__name__).info("run ended", run_id=run_id, state=folder.record().state)
        self._watchers.pop(run_id)
        self._pids.pop(run_id, None)
        self._start_next()

    async def _run_worker(self, folder: RunFolder) -> int | None:
        folder.write_launch_settings(self._config.launch_settings)
        with folder.worker_log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "services.trainer.worker"),
                *("--run-dir", str(folder.path)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment(),
                start_new_session=True,
            )
        self._pids[folder.path.name] = process.pid
        return await process.wait()

    def _environment(self) -> dict[str, str]:
        """What `attune up` sets, also where nobody did: idle threads sleep, or on shared cores an
        update takes six times as long."""
        return {
            "OMP_NUM_THREADS": str(self._config.num_threads),
            "OMP_WAIT_POLICY": "PASSIVE",
            **os.environ,
        }

    async def _adopted(self, folder: RunFolder, pid: int) -> int | None:
        self._pids[folder.path.name] = pid
        await _process_end(pid)
        return None

    def _signal_all(self, number: signal.Signals) -> None:
        for pid in self._pids.values():
            _send(pid, number)


async def _process_end(pid: int) -> None:
    """Waits for a process that need not be a child."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
