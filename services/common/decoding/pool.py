"""A bounded number of decoder processes that services share; a medium can end only its own.

Services pass `pool.decode` as their MediaDecoder and call it in threads.
"""

import queue
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from prometheus_client import CollectorRegistry

from models.preprocessing.conversation import Medium
from models.preprocessing.decoding import Decoded, MediaSettings
from models.preprocessing.media_error import MediaError
from services.common.decoding.frames import Request, modality_of
from services.common.decoding.metrics import DecodingMetrics
from services.common.decoding.process import WorkerEnded, WorkerProcess
from services.common.errors import ResourceExhausted, Unavailable


class DecodingPool:
    """Starts workers when they are needed, keeps them, and replaces those that end."""

    def __init__(
        self,
        num_workers: int = 2,
        deadline_s: float = 10.0,
        memory_bytes: int = 1 << 30,
        wait_s: float = 10.0,
        registry: CollectorRegistry | None = None,
    ) -> None:
        """`deadline_s` and `memory_bytes` (of address space; 0.3 GiB are code) bound one decode.

        A call waits `wait_s` at most for a free worker.
        """
        self._deadline_s, self._wait_s = deadline_s, wait_s
        self._memory_bytes = memory_bytes
        self._metrics = DecodingMetrics(registry or CollectorRegistry())
        self._num_workers = num_workers
        self._is_closed = False
        # A place per worker; the last one used comes first, so that few run if few are needed.
        self._places: queue.LifoQueue[WorkerProcess | None] = queue.LifoQueue()
        for _ in range(num_workers):
            self._places.put(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def decode(self, medium: Medium, settings: MediaSettings) -> Decoded:
        """Blocks. Raises MediaError, ResourceExhausted if all stay busy, Unavailable if closed."""
        request = Request(modality=modality_of(medium), settings=settings)
        outcome = "failed"
        try:
            _check_bytes(medium, request)
            with self._borrowed() as worker:
                start_s = time.monotonic()
                decoded = worker.ask(request, medium.data, self._deadline_s)
            self._metrics.duration.labels(request.modality).observe(time.monotonic() - start_s)
            outcome = "decoded"
            return decoded
        except TimeoutError as error:
            outcome = "timeout"
            raise MediaError(
                f"the {request.modality} took longer than {self._deadline_s:g} s to decode"
            ) from error
        except WorkerEnded as error:
            outcome = "ended"
            raise MediaError(
                f"the {request.modality} ended its decoder ({error}); it is damaged, or takes more"
                f" than {self._memory_bytes >> 20} MiB of memory to decode"
            ) from error
        except MediaError:
            outcome = "refused"
            raise
        except ResourceExhausted:
            outcome = "busy"
            raise
        finally:
            self._metrics.decodes.labels(request.modality, outcome).inc()

    def close(self) -> None:
        """Ends all workers, after the calls that they are at."""
        if self._is_closed:
            return
        self._is_closed = True
        for _ in range(self._num_workers):
            worker = self._places.get()
            if worker is not None:
                worker.stop()

    @contextmanager
    def _borrowed(self) -> Iterator[WorkerProcess]:
        """A running worker. One that did not answer in order is ended, its place kept."""
        worker = self._take_place()
        try:
            if worker is None or worker.has_ended:
                worker = self._started_in_place_of(worker)
            yield worker
        except MediaError:
            raise
        except BaseException:
            if worker is not None:
                worker.stop()
                worker = None
            raise
        finally:
            self._places.put(worker)

    def _take_place(self) -> WorkerProcess | None:
        if self._is_closed:
            raise Unavailable("media are no longer decoded; the service is stopping")
        try:
            return self._places.get(timeout=self._wait_s)
        except queue.Empty as error:
            raise ResourceExhausted(
                f"all {self._num_workers} media decoders stayed busy for {self._wait_s:g} s"
            ) from error

    def _started_in_place_of(self, ended: WorkerProcess | None) -> WorkerProcess:
        if ended is not None:
            ended.stop()
        return WorkerProcess.start(self._memory_bytes)


def _check_bytes(medium: Medium, request: Request) -> None:
    """The decoders check it too; here it saves the way there."""
    limit: int = getattr(request.settings, request.modality).max_bytes
    if len(medium.data) > limit:
        raise MediaError(
            f"{request.modality} has {len(medium.data)} bytes; at most {limit} are allowed"
        )
