"""What the engine is asked and what it answers.

A job is one call. Its groups each have a prompt that is prefilled once and sampled n times.
Legend: T sampled tokens.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.preprocessing.encoded_prompt import EncodedPrompt
from services.policy.engine.constraint import Constraint
from services.policy.engine.encoders import Unit, units_of
from services.policy.engine.served_model import ServedModel


class OutputMode(Enum):
    """What an answer may hold."""

    TEXT = "text"
    IMAGE = "image"  # one image, then stop; the prompt ends with begin_of_image
    AUTO = "auto"  # the model decides


class Priority(IntEnum):
    """Lower goes first."""

    INTERACTIVE = 0
    BATCH = 1


class FinishReason(Enum):
    STOP = "stop"
    LENGTH = "length"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Form:
    """What text answers are held to, as it was asked for."""

    kind: Literal["json_schema", "regex"]
    source: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """Resolved settings: nothing is left to a default."""

    max_tokens: int
    seed: int
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    guidance_scale: float = 1.0
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False
    num_top_logprobs: int = 0
    output: OutputMode = OutputMode.TEXT
    form: Form | None = None

    @property
    def is_guided(self) -> bool:
        """Whether each sample needs an unconditional twin."""
        return self.guidance_scale != 1.0 and self.output is not OutputMode.TEXT

    @property
    def is_truncated(self) -> bool:
        """Whether tokens travel with the ids that they were drawn from."""
        is_cut = self.temperature == 0 or self.top_k is not None or self.top_p < 1.0
        return is_cut or self.form is not None


@dataclass(frozen=True, slots=True)
class Group:
    """`num_samples` answers to one prompt; sample i draws from the stream (seed, prompt, i)."""

    index: int
    prompt: EncodedPrompt
    sampling: Sampling
    num_samples: int
    constraint: Constraint | None = None  # what `sampling.form` asks, compiled

    @property
    def num_rows(self) -> int:
        """Rows of the batch that the group takes: a guided sample takes two."""
        return self.num_samples * (2 if self.sampling.is_guided else 1)


@dataclass(frozen=True, slots=True)
class TopLogprobs:
    """The likeliest ids before truncation, best first."""

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Token:
    """One sampled token of a streamed job; `text` is what it releases."""

    group_index: int
    sample_index: int
    token_id: int
    logprob: float
    text: str
    top: TopLogprobs | None


@dataclass(frozen=True, slots=True)
class VersionSpan:
    """Tokens [start, end) were sampled by `version`."""

    version: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Sample:
    """A finished answer. Lists are parallel to the tokens; `supports` and `top` may be empty."""

    group_index: int
    sample_index: int
    token_ids_T: NDArray[np.int64]
    logprobs_T: NDArray[np.float32]
    kept_mass_T: NDArray[np.float32]
    supports: tuple[NDArray[np.int64] | None, ...]
    top: tuple[TopLogprobs, ...]
    spans: tuple[VersionSpan, ...]
    finish: FinishReason
    error: str | None = None


Event = Token | Sample
Sink = Callable[[list[Event]], None]


@dataclass(slots=True, eq=False)
class Job:
    """One call. `sink` receives events on the engine's thread, each sample exactly once."""

    job_id: str
    model: ServedModel
    groups: tuple[Group, ...]
    sink: Sink
    priority: Priority = Priority.INTERACTIVE
    deadline_s: float | None = None  # of time.monotonic()
    is_streamed: bool = False
    tenant: str = ""  # whose prompts may share a prefix
    may_switch_version: bool = False
    clock: "JobClock" = field(default_factory=lambda: JobClock())
    units: tuple[tuple[Unit, ...], ...] = field(init=False)  # media of each group
    num_unfinished: int = field(init=False)
    num_computed_prompt_tokens: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.num_unfinished = self.num_samples
        config = self.model.model.config
        self.units = tuple(units_of(group.prompt.media, config) for group in self.groups)

    @property
    def num_samples(self) -> int:
        return sum(group.num_samples for group in self.groups)

    @property
    def num_prompt_tokens(self) -> int:
        """A prompt counts once for all its samples."""
        return sum(len(group.prompt.token_ids) for group in self.groups)

    @property
    def num_cached_prompt_tokens(self) -> int:
        """Tokens of prompts that were found in the cache; none where some were computed twice."""
        if self.clock.first_token_s is None:
            return 0
        return max(self.num_prompt_tokens - self.num_computed_prompt_tokens, 0)


@dataclass(slots=True)
class JobClock:
    """Moments of a job, by time.monotonic(); None until they come."""

    submitted_s: float = field(default_factory=time.monotonic)
    admitted_s: float | None = None
    first_token_s: float | None = None
    finished_s: float | None = None
