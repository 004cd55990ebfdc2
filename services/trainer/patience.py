"""Calls to other services that may be down for a while: deadline, back-off, then a clean end.

A run waits so long as it was told to and then ends INTERRUPTED with nothing lost; asked to stop,
it does not wait on.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import grpc

from services.common.errors import AttuneError, Unavailable, from_rpc

R = TypeVar("R")

_FIRST_DELAY_S, _MAX_DELAY_S = 0.2, 2.0


class StopAskedError(Exception):
    """Somebody asked the run to stop while it waited."""


@dataclass(frozen=True, slots=True)
class Patience:
    """`attempt` gets the deadline in seconds that each try of it has."""

    limit_s: float
    call_timeout_s: float
    stop_asked: Callable[[], bool]
    report: Callable[[str], None]

    def call(self, what: str, attempt: Callable[[float], R]) -> R:
        """The answer, after as many tries as fit. Raises Unavailable when patience ends."""
        started_s = time.monotonic()
        delay_s = _FIRST_DELAY_S
        while True:
            try:
                return attempt(self.call_timeout_s)
            except grpc.RpcError as error:
                failure = from_rpc(error)
            except AttuneError as error:
                failure = error
            self._check(what, failure, time.monotonic() - started_s)
            self.report(f"{what} failed ({failure}); trying again in {delay_s:.1f} s")
            time.sleep(delay_s)
            delay_s = min(2 * delay_s, _MAX_DELAY_S)

    def _check(self, what: str, failure: AttuneError, waited_s: float) -> None:
        """Raises where another try makes no sense."""
        if self.stop_asked():
            raise StopAskedError(f"stopped while waiting: {what} failed ({failure})")
        if not failure.retryable:
            raise type(failure)(f"{what} failed: {failure}") from failure
        if waited_s >= self.limit_s:
            raise Unavailable(
                f"{what} kept failing for {waited_s:.0f} s ({failure}); nothing is lost: bring the"
                " service back and resume the run"
            ) from failure
