"""Makes a call of a real service find its caller dead, or find the service unwilling.

Handlers are wrapped before the services start; a trap is set while they run.
"""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from services.policy.servicer import PolicyServicer
from services.reward.service import RewardServicer

_WATCHED: list[tuple[type, str]] = [
    (PolicyServicer, "Rollout"),
    (PolicyServicer, "PrepareWeights"),
    (PolicyServicer, "CommitWeights"),
    (RewardServicer, "Score"),
]


@dataclass
class Traps:
    """At most one is set: `action` runs at the n-th call of `method` from then on."""

    method: str = ""
    nth: int = 0
    action: Callable[[], None] = lambda: None
    calls: list[str] = field(default_factory=list)

    def set(self, method: str, nth: int, action: Callable[[], None]) -> None:
        self.method, self.nth, self.action = method, nth, action
        self.calls.clear()

    def called(self, method: str) -> None:
        self.calls.append(method)
        if method == self.method and self.calls.count(method) == self.nth:
            self.action()


def install_traps(monkeypatch: pytest.MonkeyPatch) -> Traps:
    """Before the services start."""
    traps = Traps()
    for servicer, method in _WATCHED:
        monkeypatch.setattr(servicer, method, _wrapped(getattr(servicer, method), traps))
    return traps


def _wrapped(original: Any, traps: Traps) -> Any:
    if inspect.isasyncgenfunction(original):

        @functools.wraps(original)
        async def stream(self: Any, request: Any, context: Any) -> Any:
            traps.called(original.__name__)
            async for response in original(self, request, context):
                yield response

        return stream

    @functools.wraps(original)
    async def unary(self: Any, request: Any, context: Any) -> Any:
        traps.called(original.__name__)
        return await original(self, request, context)

    return unary
