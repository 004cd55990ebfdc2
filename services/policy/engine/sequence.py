"""One sample on its way: what it has so far, and how it is handed over when it ends."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models.grammar import Grammar, Kind
from models.preprocessing.prompt import without_content
from services.policy.engine.constraint import ConstraintState
from services.policy.engine.encoders import Unit
from services.policy.engine.random_streams import stream_key
from services.policy.engine.request import (
    FinishReason,
    Group,
    Job,
    Priority,
    Sample,
    TopLogprobs,
    VersionSpan,
)
from services.policy.engine.text_stream import TextStream


@dataclass(frozen=True, slots=True)
class Sampled:
    """Tokens with what is known of each. Legend: T tokens."""

    token_ids_T: NDArray[np.int64]
    logprobs_T: NDArray[np.float32]
    kept_mass_T: NDArray[np.float32]


def _nothing_sampled() -> Sampled:
    nothing = np.zeros(0, np.float32)
    return Sampled(np.zeros(0, np.int64), nothing, nothing)


@dataclass(slots=True, eq=False)
class Sequence:
    """`sampled` is what it had when it last entered or left a batch."""

    job: Job
    group: Group
    sample_index: int
    text: TextStream | None
    constraint: ConstraintState | None
    arrival: int = 0  # its place in the queue, which it keeps
    num_drafted: int = 0  # ids that were guessed, and how many of them were drawn
    num_accepted: int = 0
    sampled: Sampled = field(default_factory=_nothing_sampled)
    supports: list[NDArray[np.int64] | None] = field(default_factory=list)
    top: list[TopLogprobs] = field(default_factory=list)
    spans: list[VersionSpan] = field(default_factory=list)

    @property
    def key(self) -> int:
        """Its random stream."""
        return stream_key(self.group.sampling.seed, self.group.index, self.sample_index)

    def leave(self, sampled: Sampled, version: str) -> None:
        """Takes what a batch of `version` sampled, when it ends there or moves on."""
        start, end = self.spans[-1].end if self.spans else 0, len(sampled.token_ids_T)
        if self.spans and self.spans[-1].version == version:
            start = self.spans.pop().start
        if end > start:
            self.spans.append(VersionSpan(version, start, end))
        self.sampled = sampled

    def finished(self, reason: FinishReason, error: str | None = None) -> Sample:
        """The answer, as far as it came."""
        return Sample(
            group_index=self.group.index,
            sample_index=self.sample_index,
            token_ids_T=self.sampled.token_ids_T,
            logprobs_T=self.sampled.logprobs_T,
            kept_mass_T=self.sampled.kept_mass_T,
            supports=tuple(self.supports),
            top=tuple(self.top),
            spans=tuple(self.spans),
            finish=reason,
            error=error,
        )


# Kind of the next token, and how many codes are left of an image that was begun.
Position = tuple[Kind, int]


@dataclass(frozen=True, slots=True)
class Pending:
    """Sequences that wait to begin, or to go on elsewhere, from the same tokens."""

    sequences: tuple[Sequence, ...]

    @property
    def job(self) -> Job:
        return self.sequences[0].job

    @property
    def group(self) -> Group:
        return self.sequences[0].group

    @property
    def order(self) -> tuple[Priority, int]:
        """Who goes first; the last gives way when memory runs out."""
        return self.job.priority, self.sequences[0].arrival

    @property
    def units(self) -> tuple[Unit, ...]:
        """The media of the prompt."""
        groups = self.job.groups
        return next(
            units
            for group, units in zip(groups, self.job.units, strict=True)
            if group is self.group
        )

    @property
    def num_rows(self) -> int:
        """Rows of a batch that they take; a guided sample takes two."""
        return len(self.sequences) * (2 if self.group.sampling.is_guided else 1)

    @property
    def token_ids_L(self) -> NDArray[np.int64]:
        """The prompt and what was sampled after it."""
        return np.concatenate([self._prompt_ids_L, self.sequences[0].sampled.token_ids_T])

    def position(self, grammar: Grammar) -> Position:
        """Where the next token stands."""
        tail = self.token_ids_L[-grammar.codes_per_image - 1 :].tolist()
        kind = grammar.next_kind(tail)
        if kind is not Kind.CODE:
            return kind, 0
        num_codes = tail[::-1].index(grammar.special.begin_of_image)
        return kind, grammar.codes_per_image - num_codes

    def unconditional_ids_L(self, grammar: Grammar) -> NDArray[np.int64]:
        """The same length without content; begin_of_image and sampled codes stay."""
        ids_L = self.token_ids_L
        is_sampled_L = np.arange(len(ids_L)) >= len(self._prompt_ids_L)
        is_code_L = is_sampled_L & (ids_L >= grammar.vocab_size)
        return np.where(is_code_L, ids_L, without_content(ids_L, grammar.special))

    @property
    def _prompt_ids_L(self) -> NDArray[np.int64]:
        return self.group.prompt.token_ids


def pending_group(job: Job, group: Group, arrival: int) -> Pending:
    """The samples of a group, none begun, and their place in the queue."""
    tokenizer = job.model.preprocessor.tokenizer
    is_watched = job.is_streamed or bool(group.sampling.stop)
    return Pending(
        tuple(
            Sequence(
                job,
                group,
                i,
                TextStream(tokenizer, group.sampling.stop) if is_watched else None,
                group.constraint.start() if group.constraint else None,
                arrival,
            )
            for i in range(group.num_samples)
        )
    )
