"""What every scorer is: items in, one outcome for each out, in order. No failure is a number."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Literal, Self

from models.preprocessing.conversation import Conversation, Turn

# Of float32: what is larger would arrive as infinity.
_LARGEST = 3.4028234e38

ScorerKind = Literal["onnx", "program", "user", "blend"]
Comparability = Literal["within_prompt", "global"]


class ScoreStatus(StrEnum):
    """DESIGN law 3; only SCORED comes with a reward."""

    SCORED = "scored"
    FAILED = "failed"
    TIMEOUT = "timeout"
    ABSTAIN = "abstain"
    REJECTED = "rejected"


class Lane(IntEnum):
    """Who is served first: the lower number. A person waits for an interactive call."""

    INTERACTIVE = 0
    TRAINING = 1
    BACKFILL = 2


class ItemRejected(ValueError):
    """An item that no scorer of this kind can score; its neighbours are not touched."""


@dataclass(frozen=True, slots=True)
class ScoringItem:
    """An answer to be scored, with what a scorer may look at."""

    item_id: str
    conversation: Conversation
    answer: Turn
    task: str = ""
    reference_json: str = ""
    reference_answers: tuple[Turn, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an item. Made by `scored` and `not_scored`, which keep law 3."""

    status: ScoreStatus
    reward: float | None = None
    reward_raw: float | None = None
    std: float | None = None
    acceptability: float | None = None
    subscores: Mapping[str, float] = field(default_factory=dict)
    rationale: str = ""
    error: str = ""

    @classmethod
    def scored(
        cls,
        reward: float,
        *,
        reward_raw: float | None = None,
        std: float | None = None,
        acceptability: float | None = None,
        subscores: Mapping[str, float] | None = None,
        rationale: str = "",
    ) -> Self:
        """SCORED; or FAILED if any of the numbers is not finite as float32, which travels."""
        named = {"reward": reward, "raw reward": reward_raw, "std": std} | dict(subscores or {})
        named["acceptability"] = acceptability
        for name, value in named.items():
            if value is not None and not abs(value) <= _LARGEST:
                return cls.not_scored(ScoreStatus.FAILED, f"the scorer gave {value} as {name}")
        return cls(
            status=ScoreStatus.SCORED,
            reward=reward,
            reward_raw=reward_raw,
            std=std,
            acceptability=acceptability,
            subscores=subscores or {},
            rationale=rationale,
        )

    @classmethod
    def not_scored(cls, status: ScoreStatus, error: str) -> Self:
        """Any other status, and why."""
        assert status is not ScoreStatus.SCORED
        return cls(status=status, error=error)


@dataclass(frozen=True, slots=True)
class ScoringCall:
    """Items to score together. `deadline_s` is in the event loop's time."""

    items: Sequence[ScoringItem]
    deterministic: bool = False
    lane: Lane = Lane.TRAINING
    deadline_s: float | None = None


@dataclass(frozen=True, slots=True)
class CallTiming:
    """Where a call's time went."""

    preprocess_s: float = 0.0
    queue_s: float = 0.0
    compute_s: float = 0.0
    num_tokens: int = 0


@dataclass(frozen=True, slots=True)
class ScoredCall:
    """One outcome for each item of the call, in its order."""

    outcomes: list[Outcome]
    timing: CallTiming


@dataclass(frozen=True, slots=True)
class ScorerInfo:
    """What a scorer says of itself; `name` is unique among residents and never reused."""

    name: str
    kind: ScorerKind
    comparability: Comparability
    fingerprint: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


class Scorer(ABC):
    """A resident scorer. Immutable: what is named the same scores the same."""

    def __init__(self, info: ScorerInfo) -> None:
        self.info = info

    @abstractmethod
    async def score(self, call: ScoringCall) -> ScoredCall:
        """Scores a call. Raises ResourceExhausted when its queue is full; never for an item."""

    @abstractmethod
    async def close(self) -> None:
        """Lets calls that have begun finish, then frees what the scorer holds."""
