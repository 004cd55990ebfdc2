"""Fixed items that each reward model scores again and again. A scorer never changes, so a canary
that moves is a fault of serving, whatever happens to the traffic (drift.py)."""

import asyncio
from collections.abc import Sequence
from functools import cache

from services.common.errors import AttuneError
from services.common.logs import get_logger
from services.common.world.families.exercise import FAMILIES
from services.common.world.items import make_item
from services.reward.metrics import RewardMetrics
from services.reward.residents import Residents
from services.reward.scorers.contract import Lane, Outcome, Scorer, ScoringCall, ScoringItem

_PER_FAMILY = 2
_DEADLINE_S = 30.0


class Canaries:
    """Compares with the first scores since a model was loaded; bits, since the calls are
    deterministic. Used on the event loop only."""

    def __init__(self, residents: Residents, metrics: RewardMetrics) -> None:
        self._residents = residents
        self._metrics = metrics
        self._first: dict[str, list[Outcome]] = {}

    async def watch(self, interval_s: float) -> None:
        """Until it is cancelled."""
        while True:
            try:
                await self.check()
            except Exception as error:  # whatever it was, the next round may tell more
                get_logger(__name__).error("canaries failed", exc_info=error)
            await asyncio.sleep(interval_s)

    async def check(self) -> None:
        """All resident reward models, once."""
        models = [scorer for scorer in self._residents.scorers() if scorer.info.kind == "onnx"]
        names = {scorer.info.name for scorer in models}
        self._first = {name: first for name, first in self._first.items() if name in names}
        for scorer in models:
            await self._check(scorer)

    async def _check(self, scorer: Scorer) -> None:
        name = scorer.info.name
        deadline_s = asyncio.get_running_loop().time() + _DEADLINE_S
        items = await asyncio.to_thread(canary_items)
        call = ScoringCall(items, deterministic=True, lane=Lane.BACKFILL, deadline_s=deadline_s)
        try:
            outcomes = (await scorer.score(call)).outcomes
        except AttuneError as error:  # unloaded meanwhile, or too busy; the next round comes
            get_logger(__name__).warning("canaries not scored", scorer=name, reason=str(error))
            return
        first = self._first.setdefault(name, outcomes)
        if self._residents.is_resident(name):
            self._metrics.set_canaries(name, shift(first, outcomes), num_lost(first, outcomes))


@cache
def canary_items() -> tuple[ScoringItem, ...]:
    """Of the default world: pictures, recordings and clips in, words and pictures out. A model that
    takes only some of them scores those."""
    made = [make_item(f, "validation", index) for f in FAMILIES for index in range(_PER_FAMILY)]
    return tuple(ScoringItem(item.item_id, item.conversation, item.target) for item in made)


def shift(first: Sequence[Outcome], now: Sequence[Outcome]) -> float:
    """How far the reward moved of the item that moved most; 0 where none has two."""
    pairs = zip(first, now, strict=True)
    moved = [
        abs(a.reward - b.reward) for a, b in pairs if a.reward is not None and b.reward is not None
    ]
    return max(moved, default=0.0)


def num_lost(first: Sequence[Outcome], now: Sequence[Outcome]) -> int:
    """Items that were scored and are not any more."""
    pairs = zip(first, now, strict=True)
    return sum(a.reward is not None and b.reward is None for a, b in pairs)
