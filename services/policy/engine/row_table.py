"""The rows of one batch as parallel arrays, so that a step costs no Python per row.

Rows stay compact: [0, count) are alive. A guided sample has a second row, its twin, which sees no
prompt and is fed the same codes; only first rows are sampled.
Legend: R rows, S rows that are sampled in a step, T sampled tokens.
"""

from collections.abc import Sequence as Several
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.grammar import Grammar, Kind
from services.policy.engine.drawn import Drawn, Rows
from services.policy.engine.pages import PAGE_TOKENS, Page, num_pages_of
from services.policy.engine.request import OutputMode
from services.policy.engine.sampler import Knobs, resolve_knobs
from services.policy.engine.sequence import Position, Sampled, Sequence

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Endings:
    """By row: whether and why it ended in a step."""

    is_stopped_R: Flags
    is_exhausted_R: Flags
    is_finite_R: Flags

    @property
    def over(self) -> Rows:
        return (self.is_stopped_R | self.is_exhausted_R | ~self.is_finite_R).nonzero()[0]

    def is_over(self, row: int) -> bool:
        is_ended = self.is_stopped_R[row] or self.is_exhausted_R[row]
        return bool(is_ended or not self.is_finite_R[row])

    def add(self, later: "Endings") -> None:
        """Takes over what ended by a further token."""
        self.is_stopped_R[:] |= later.is_stopped_R
        self.is_exhausted_R[:] |= later.is_exhausted_R
        self.is_finite_R[:] &= later.is_finite_R


class RowTable:
    """Holds `max_rows` rows of at most `max_tokens` tokens, prompt and answer together."""

    def __init__(self, grammar: Grammar, max_rows: int, max_tokens: int) -> None:
        self._grammar = grammar
        self.max_rows = max_rows
        self.count = 0
        self.sequences: list[Sequence] = []
        self.chains: list[list[Page]] = []  # the pages of each row, which it holds
        self.length_R = np.zeros(max_rows, np.int64)  # places filled in the cache
        self.pages_RN = np.zeros((max_rows, num_pages_of(max_tokens)), np.int32)
        self.num_pages_R = np.zeros(max_rows, np.int64)
        self.next_id_R = np.zeros(max_rows, np.int64)  # fed to the model in the next step
        self.kind_R = np.zeros(max_rows, np.int8)  # Kind of the next token
        self.codes_left_R = np.zeros(max_rows, np.int64)
        self.step_R = np.zeros(max_rows, np.int64)  # tokens sampled
        self.key_R = np.zeros(max_rows, np.uint64)
        self.is_twin_R = np.zeros(max_rows, np.bool_)
        self.has_twin_R = np.zeros(max_rows, np.bool_)
        self.twin_R = np.zeros(max_rows, np.int64)  # the other row of a pair
        self.temperature_R = np.ones(max_rows, np.float32)
        self.top_k_R = np.ones(max_rows, np.int64)
        self.top_p_R = np.ones(max_rows, np.float32)
        self.guidance_R = np.ones(max_rows, np.float32)
        self.max_tokens_R = np.zeros(max_rows, np.int64)
        self.allows_image_R = np.zeros(max_rows, np.bool_)
        self.is_one_image_R = np.zeros(max_rows, np.bool_)
        self.stops_at_end_R = np.zeros(max_rows, np.bool_)
        self.is_constrained_R = np.zeros(max_rows, np.bool_)
        self.wants_top_R = np.zeros(max_rows, np.bool_)
        self.is_observed_R = np.zeros(max_rows, np.bool_)  # needs Python at each token
        self.ids_RT = np.zeros((max_rows, max_tokens), np.int64)
        self.logprobs_RT = np.zeros((max_rows, max_tokens), np.float32)
        self.kept_mass_RT = np.zeros((max_rows, max_tokens), np.float32)

    def constraints(
        self, rows_S: Rows
    ) -> tuple[NDArray[np.bool_] | None, NDArray[np.int64] | None]:
        """(is_allowed_CV, constraint_of_S): what the constraints of rows allow, -1 for none."""
        constrained = self.is_constrained_R[rows_S].nonzero()[0]
        if not len(constrained):
            return None, None
        is_allowed_CV = np.zeros((len(constrained), self._grammar.vocab_size), np.bool_)
        constraint_of_S = np.full(len(rows_S), -1)
        constraint_of_S[constrained] = np.arange(len(constrained))
        for is_allowed_V, row in zip(is_allowed_CV, rows_S[constrained].tolist(), strict=True):
            state = self.sequences[row].constraint
            assert state is not None
            state.allow(is_allowed_V)
        return is_allowed_CV, constraint_of_S

    @property
    def sampled_rows(self) -> Rows:
        """All rows but twins."""
        return (~self.is_twin_R[: self.count]).nonzero()[0]

    def knobs(self, rows_S: Rows) -> Knobs:
        """Sampling settings of rows."""
        return Knobs(self.temperature_R[rows_S], self.top_k_R[rows_S], self.top_p_R[rows_S])

    def add(
        self, sequence: Sequence, length: int, position: Position, chains: Several[list[Page]]
    ) -> None:
        """Appends a sequence whose first `length` tokens are cached in a chain of pages, which
        the table holds from now on; in a second one for its twin where it is guided."""
        row = self._add_row(sequence, length, position, chains[0])
        if len(chains) > 1:
            twin = self._add_row(sequence, length, position, chains[1])
            self.is_twin_R[twin] = self.has_twin_R[row] = True
            self.twin_R[row], self.twin_R[twin] = twin, row

    def lacking(self) -> Rows:
        """Rows whose next token has no page yet."""
        needed_R = self.length_R[: self.count] // PAGE_TOKENS
        return (needed_R >= self.num_pages_R[: self.count]).nonzero()[0]

    def extend(self, row: int, page: Page) -> None:
        """Gives a row one more page."""
        self.pages_RN[row, self.num_pages_R[row]] = page.number
        self.num_pages_R[row] += 1
        self.chains[row].append(page)

    def sampled(self, row: int) -> Sampled:
        """A copy of what a row sampled."""
        steps = slice(0, self.step_R[row])
        return Sampled(
            self.ids_RT[row, steps].copy(),
            self.logprobs_RT[row, steps].copy(),
            self.kept_mass_RT[row, steps].copy(),
        )

    def record(self, rows_S: Rows, drawn: Drawn) -> Endings:
        """Appends one token to each of `rows_S` and says which of them end by it."""
        special, ids_S = self._grammar.special, drawn.ids_S
        is_over_S = (ids_S == special.end) & self.stops_at_end_R[rows_S]
        is_over_S &= self.kind_R[rows_S] == Kind.TEXT
        self._write(rows_S, ids_S, drawn.logprobs_S, drawn.kept_mass_S)
        if self.allows_image_R[: self.count].any():
            is_over_S |= self._follow_images(rows_S, ids_S)
        endings = Endings(*(np.full(self.count, is_true) for is_true in (False, False, True)))
        endings.is_stopped_R[rows_S] = is_over_S
        endings.is_exhausted_R[rows_S] = self.step_R[rows_S] >= self.max_tokens_R[rows_S]
        endings.is_finite_R[rows_S] = drawn.is_finite_S
        return endings

    def remove(self, rows: Rows) -> list[list[Page]]:
        """Drops rows (and their twins); returns the chains of pages that they held."""
        is_kept_R = np.ones(self.count, np.bool_)
        is_kept_R[rows] = False
        is_kept_R[self.twin_R[rows[self.has_twin_R[rows]]]] = False
        chains = [self.chains[row] for row in np.flatnonzero(~is_kept_R).tolist()]
        kept = np.flatnonzero(is_kept_R)
        targets = np.flatnonzero(~is_kept_R[: len(kept)])
        self._move(kept[len(kept) - len(targets) :], targets)
        self.count = len(kept)
        del self.sequences[self.count :], self.chains[self.count :]
        return chains

    def is_closed(self, row: int) -> bool:
        """Whether a row's last token is the end_of_image that `record` wrote by itself."""
        return bool(self.is_one_image_R[row] and self.kind_R[row] == Kind.END_OF_IMAGE)

    def _add_row(
        self, sequence: Sequence, length: int, position: Position, chain: list[Page]
    ) -> int:
        row, sampling, had = self.count, sequence.group.sampling, sequence.sampled
        self.count += 1
        self.sequences.append(sequence)
        self.chains.append(chain)
        self.pages_RN[row, : len(chain)] = [page.number for page in chain]
        self.num_pages_R[row] = len(chain)
        steps = len(had.token_ids_T)
        knobs = resolve_knobs(sampling.temperature, sampling.top_k, sampling.top_p)
        self.temperature_R[row], self.top_k_R[row], self.top_p_R[row] = knobs
        self.length_R[row], self.step_R[row], self.key_R[row] = length, steps, sequence.key
        self.is_twin_R[row] = self.has_twin_R[row] = False
        self.twin_R[row] = row
        self.guidance_R[row] = sampling.guidance_scale
        self.max_tokens_R[row] = sampling.max_tokens
        self.allows_image_R[row] = sampling.output is not OutputMode.TEXT
        self.is_one_image_R[row] = sampling.output is OutputMode.IMAGE
        self.stops_at_end_R[row] = not sampling.ignore_eos
        self.is_constrained_R[row] = sequence.constraint is not None
        is_reported = bool(sampling.num_top_logprobs) or sampling.is_truncated
        self.wants_top_R[row] = sampling.num_top_logprobs > 0
        is_followed = sequence.text is not None or sequence.constraint is not None
        self.is_observed_R[row] = is_followed or is_reported
        self.ids_RT[row, :steps] = had.token_ids_T
        self.logprobs_RT[row, :steps] = had.logprobs_T
        self.kept_mass_RT[row, :steps] = had.kept_mass_T
        self.kind_R[row], self.codes_left_R[row] = position
        return row

    def _write(
        self,
        rows_S: Rows,
        ids_S: NDArray[np.int64],
        logprobs_S: NDArray[np.float32] | float,
        kept_mass_S: NDArray[np.float32] | float,
    ) -> None:
        steps_S = self.step_R[rows_S]
        self.ids_RT[rows_S, steps_S] = ids_S
        self.logprobs_RT[rows_S, steps_S] = logprobs_S
        self.kept_mass_RT[rows_S, steps_S] = kept_mass_S
        self.step_R[rows_S] = steps_S + 1
        self.next_id_R[rows_S] = ids_S

    def _follow_images(self, rows_S: Rows, ids_S: NDArray[np.int64]) -> Flags:
        """What comes next in rows that draw; says which were to draw one image, and have."""
        self._advance_kinds(rows_S, ids_S == self._grammar.special.begin_of_image)
        is_whole_S: Flags = self.is_one_image_R[rows_S] & (self.kind_R[rows_S] == Kind.END_OF_IMAGE)
        self._close_images(rows_S[is_whole_S])
        self._feed_twins(rows_S[self.has_twin_R[rows_S]])
        return is_whole_S

    def _advance_kinds(self, rows_S: Rows, is_begin_S: Flags) -> None:
        was_code_S = self.kind_R[rows_S] == Kind.CODE
        left_S = self.codes_left_R[rows_S] - was_code_S
        left_S[is_begin_S] = self._grammar.codes_per_image
        self.codes_left_R[rows_S] = left_S
        after_S = np.where(was_code_S, Kind.END_OF_IMAGE, Kind.TEXT)
        self.kind_R[rows_S] = np.where(left_S > 0, Kind.CODE, after_S)

    def _close_images(self, rows: Rows) -> None:
        """Writes the forced end_of_image where nothing follows it, saving a step."""
        if len(rows):
            self._write(rows, np.full(len(rows), self._grammar.end_of_image), 0.0, 1.0)

    def _feed_twins(self, rows: Rows) -> None:
        """Twins see codes and begin_of_image; for them all else is pad."""
        ids, special = self.next_id_R[rows], self._grammar.special
        is_seen = (ids >= self._grammar.vocab_size) | (ids == special.begin_of_image)
        self.next_id_R[self.twin_R[rows]] = np.where(is_seen, ids, special.pad)

    def _move(self, sources: Rows, targets: Rows) -> None:
        new_row_R = np.arange(self.max_rows)
        new_row_R[sources] = targets
        used = int(max(self.num_pages_R.max(), self.step_R.max(), 1))  # of a row's places
        for array in vars(self).values():
            if isinstance(array, np.ndarray):
                moved = array if array.ndim == 1 else array[:, :used]
                moved[targets] = moved[sources]
        self.twin_R = new_row_R[self.twin_R]
        for source, target in zip(sources.tolist(), targets.tolist(), strict=True):
            self.sequences[target] = self.sequences[source]
            self.chains[target] = self.chains[source]
