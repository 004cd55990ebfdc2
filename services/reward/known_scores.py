"""Scores by what was scored: a scorer never changes, so what it gave once it would give again."""

import hashlib
from collections import OrderedDict
from threading import Lock

from models.preprocessing.conversation import Part, Text, TokenIds, Turn
from services.reward.scorers.contract import Outcome, ScoreStatus, ScoringItem


class KnownScores:
    """Those that were asked for last, at most so many. May be used by several threads."""

    def __init__(self, max_items: int) -> None:
        self._max_items = max_items
        self._outcomes: OrderedDict[bytes, Outcome] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._outcomes)

    def get(self, content: bytes) -> Outcome | None:
        """What was given for a content."""
        with self._lock:
            outcome = self._outcomes.get(content)
            if outcome is not None:
                self._outcomes.move_to_end(content)
            return outcome

    def put(self, content: bytes, outcome: Outcome) -> None:
        """Keeps a score; a failure is no score, and may not happen again."""
        if outcome.status is not ScoreStatus.SCORED:
            return
        with self._lock:
            self._outcomes[content] = outcome
            self._outcomes.move_to_end(content)
            while len(self._outcomes) > self._max_items:
                self._outcomes.popitem(last=False)


def content_of(item: ScoringItem) -> bytes:
    """SHA-256 of the prompt and the answer, all that a reward model sees of an item."""
    digest = hashlib.sha256()
    for turn in (*item.conversation, item.answer):
        digest.update(_header(turn))
        for part in turn.parts:
            data = _data(part)
            digest.update(f"{type(part).__name__} {len(data)}\n".encode())
            digest.update(data)
    return digest.digest()


def _header(turn: Turn) -> bytes:
    return f"{turn.role} {len(turn.parts)}\n".encode()


def _data(part: Part) -> bytes:
    if isinstance(part, Text):
        return part.text.encode("utf-8", "surrogatepass")
    if isinstance(part, TokenIds):
        return f"{part.fingerprint} {part.ids}".encode()
    return part.data
