"""Rows of one version that advance together: each step computes the next token of every row that
runs, and chunks of the prompts that come in, as one list of tokens.

Legend: T tokens of a step, R rows, S rows sampled in a step, W tokens whose state is wanted.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.grammar import Kind
from services.policy.engine.encoders import FeatureCache
from services.policy.engine.executor import Executor, FlatStep
from services.policy.engine.heads import draw_rows
from services.policy.engine.memory import CacheMemory
from services.policy.engine.observation import observe
from services.policy.engine.pages import Page, RootKey
from services.policy.engine.prefill import Prefill, prefill_of
from services.policy.engine.request import FinishReason, Job, Priority, Token
from services.policy.engine.row_table import Endings, Rows, RowTable
from services.policy.engine.sequence import Pending, Sequence
from services.policy.engine.served_model import ServedModel
from services.policy.engine.track import Track, track_of


@dataclass(frozen=True, slots=True)
class Ended:
    """A sequence that left its batch for good."""

    sequence: Sequence
    reason: FinishReason
    error: str | None = None


@dataclass(slots=True)
class StepResult:
    """What a step made: tokens of streamed sequences, those that ended or gave way, and counts."""

    tokens: list[tuple[Sequence, Token]] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)
    preempted: list[Pending] = field(default_factory=list)
    begun: list[Job] = field(default_factory=list)  # whose first token this step drew
    errors: list[Exception] = field(default_factory=list)  # of prompts that could not begin
    num_decoded_rows: int = 0
    num_prompt_tokens: int = 0
    num_text_tokens: int = 0
    num_image_tokens: int = 0


class Batch:
    """One schedule for text tokens, image tokens and guided pairs, over pages of the cache."""

    def __init__(
        self,
        served: ServedModel,
        executor: Executor,
        memory: CacheMemory,
        features: FeatureCache,
        max_rows: int,
    ) -> None:
        self._served = served
        self._executor = executor
        self._memory = memory
        self._pool = memory.pool
        self._features = features
        self.rows = RowTable(served.grammar, max_rows, served.context_tokens)
        self.prefills: list[Prefill] = []

    @property
    def num_rows(self) -> int:
        """Taken: by what runs, and by what will when its prompt is computed."""
        return self.rows.count + sum(prefill.num_rows for prefill in self.prefills)

    @property
    def has_work(self) -> bool:
        return bool(self.rows.count or self.prefills)

    @property
    def is_interactive(self) -> bool:
        """Whether an application waits for any of it."""
        jobs = {p.pending.job for p in self.prefills} | {s.job for s in self.rows.sequences}
        return any(job.priority is Priority.INTERACTIVE for job in jobs)

    def admit(self, pending: Pending) -> bool:
        """Takes pages for sequences that wait, if there are enough for them and what runs.

        Raises whatever their media make the encoders raise.
        """
        prefill = prefill_of(pending, self._served)
        for track in prefill.tracks:
            track.encode(self._served, self._features)
        root = (self._served.version, pending.job.tenant)
        if not prefill.take_pages(self._pool, root, num_spare=self.rows.count):
            return False
        self.prefills.append(prefill)
        return True

    def step(self, max_prompt_tokens: int) -> StepResult:
        """One token more for every row, and up to so many tokens of prompts."""
        result = StepResult()
        self._make_room(result)
        num_decoded = result.num_decoded_rows = self.rows.count
        chunks = self._next_chunks(max_prompt_tokens)
        if not num_decoded and not chunks:
            return result
        complete = [page for track, chunk in chunks for page in track.mark(chunk)]
        try:
            hidden_WD = self._run(chunks)
        except Exception:
            for page in complete:
                page.is_computed = False
            raise
        self.rows.length_R[:num_decoded] += 1
        states = [hidden_WD[:num_decoded], *self._fork(chunks, hidden_WD[num_decoded:], result)]
        result.num_prompt_tokens = sum(len(chunk) for _, chunk in chunks)
        if self.rows.count:
            self._sample(torch.cat(states), result)
        return result

    def evict(self, rows: Rows) -> list[Sequence]:
        """Takes sequences out, with what they sampled; a pair leaves by its first row."""
        sequences = [self.rows.sequences[row] for row in rows.tolist()]
        for row, sequence in zip(rows.tolist(), sequences, strict=True):
            sequence.leave(self.rows.sampled(row), self._served.version)
        for chain in self.rows.remove(rows):
            self._pool.release(chain)
        return sequences

    def drop(self, prefills: list[Prefill]) -> list[Sequence]:
        """Takes out sequences whose prompts are not computed yet."""
        self.prefills = [prefill for prefill in self.prefills if prefill not in prefills]
        for prefill in prefills:
            prefill.release(self._pool)
        return [sequence for prefill in prefills for sequence in prefill.pending.sequences]

    def clear(self) -> list[Sequence]:
        """Takes everything out."""
        rows = self.rows.sampled_rows
        return self.drop(self.prefills) + (self.evict(rows) if len(rows) else [])

    def _make_room(self, result: StepResult) -> None:
        """A page for the next token of each row; the last to come give way, to be recomputed."""
        while len(lacking := self.rows.lacking()) > self._pool.num_free:
            result.preempted.append(self._preempt())
        for row in lacking.tolist():
            self.rows.extend(row, self._pool.take())

    def _preempt(self) -> Pending:
        rows = self.rows.sampled_rows.tolist()
        running = [(Pending((self.rows.sequences[row],)).order, row) for row in rows]
        last_order, last_row = max(running)
        if self.prefills:
            prefill = max(self.prefills, key=lambda each: each.pending.order)
            if prefill.pending.order > last_order:
                self.drop([prefill])
                return prefill.pending
        return Pending(tuple(self.evict(np.array([last_row]))))

    def _next_chunks(self, budget: int) -> list[tuple[Track, range]]:
        """What of the prompts this step computes, first come first."""
        chunks = []
        for prefill in sorted(self.prefills, key=lambda each: each.pending.order):
            for track in prefill.tracks:
                chunk = track.next_chunk(budget)
                if len(chunk):
                    chunks.append((track, chunk))
                    budget -= len(chunk)
                    if track is prefill.tracks[0]:
                        prefill.pending.job.num_computed_prompt_tokens += len(chunk)
        return chunks

    def _run(self, chunks: list[tuple[Track, range]]) -> Tensor:
        """hidden_WD of all rows, then of the last token of each chunk."""
        rows, count = self.rows, self.rows.count
        lengths = [count, *(len(chunk) for _, chunk in chunks)]
        hidden = [self._executor.embed(rows.next_id_R[:count])]
        positions = [rows.length_R[:count].astype(np.int32)]
        for track, chunk in chunks:
            hidden.append(track.embed(chunk, self._executor))
            positions.append(np.arange(chunk.start, chunk.stop, dtype=np.int32))
        step = FlatStep(
            hidden_TD=torch.cat(hidden),
            positions_T=np.concatenate(positions),
            table_of_T=np.repeat(
                np.arange(count + len(chunks), dtype=np.int32), [1] * count + lengths[1:]
            ),
            tables_SN=self._tables_SN(chunks),
            wanted_W=np.concatenate([np.arange(count), np.cumsum(lengths)[1:] - 1]),
        )
        return self._executor.run(step, self._memory.cache)

    def _tables_SN(self, chunks: list[tuple[Track, range]]) -> NDArray[np.int32]:
        rows, count = self.rows, self.rows.count
        if not chunks:
            return rows.pages_RN[:count]
        tables_SN = np.zeros((count + len(chunks), rows.pages_RN.shape[1]), np.int32)
        tables_SN[:count] = rows.pages_RN[:count]
        for table_N, (track, _) in zip(tables_SN[count:], chunks, strict=True):
            table_N[: len(track.pages)] = track.table_N
        return tables_SN

    def _fork(
        self, chunks: list[tuple[Track, range]], last_WD: Tensor, result: StepResult
    ) -> list[Tensor]:
        """Makes rows of the prompts that are complete; gives the states of the new rows."""
        for (track, chunk), last_D in zip(chunks, last_WD, strict=True):
            if chunk.stop == len(track.ids_L):
                track.last_hidden_D = last_D
        states: list[Tensor] = []
        for prefill in [each for each in self.prefills if each.is_computed]:
            self.prefills.remove(prefill)
            pending, first = prefill.pending, prefill.tracks[0]
            position = pending.position(self._served.grammar)
            state_TD = torch.stack([t.last_hidden_D for t in prefill.tracks if t.is_computed])
            chains = prefill.chains(self._pool, self._memory.cache)
            for sequence, its_chains in zip(pending.sequences, chains, strict=True):
                self.rows.add(sequence, len(first.ids_L), position, its_chains)
                states.append(state_TD)
            result.begun.append(pending.job)
        return states

    def _sample(self, hidden_RD: Tensor, result: StepResult) -> None:
        """Draws for all rows, whose states are given."""
        rows_S = self.rows.sampled_rows
        drawn = draw_rows(self._executor, self._served, self.rows, hidden_RD)
        result.num_text_tokens = int((self.rows.kind_R[rows_S] == Kind.TEXT).sum())
        result.num_image_tokens = len(rows_S) - result.num_text_tokens
        endings = self.rows.record(rows_S, drawn.ids_S, drawn.logprobs_S, drawn.kept_mass_S)
        result.tokens = observe(self.rows, rows_S, drawn, endings)
        result.ended = self._collect(rows_S, endings, drawn.is_finite_S)

    def _collect(
        self, rows_S: Rows, endings: Endings, is_finite_S: NDArray[np.bool_]
    ) -> list[Ended]:
        is_over_S = endings.is_stopped_S | endings.is_exhausted_S | ~is_finite_S
        over = np.flatnonzero(is_over_S)
        for row in rows_S[np.flatnonzero(is_over_S & is_finite_S)].tolist():
            if self.rows.sequences[row].job.priority is Priority.INTERACTIVE:
                self._remember(row)
        sequences = self.evict(rows_S[over]) if len(over) else []
        return [
            _ended(sequence, bool(endings.is_stopped_S[at]), bool(is_finite_S[at]))
            for sequence, at in zip(sequences, over.tolist(), strict=True)
        ]

    def _remember(self, row: int) -> None:
        """Lets the next turn of a dialogue find the pages of this answer."""
        sequence, chain = self.rows.sequences[row], self.rows.chains[row]
        ids_L = np.concatenate([sequence.group.prompt.token_ids, self.rows.sampled(row).token_ids_T])
        cached_ids_L = ids_L[: self.rows.length_R[row]]
        track = track_of(cached_ids_L, Pending((sequence,)).units, self._served.model.config)
        parent: Page | RootKey = (self._served.version, sequence.job.tenant)
        for page, content in zip(chain, track.contents, strict=False):
            if not page.is_shareable:
                page.is_computed = True
                if not self._pool.publish(page, parent, content):
                    break
            parent = page


def _ended(sequence: Sequence, is_stopped: bool, is_finite: bool) -> Ended:
    if sequence.constraint is not None and sequence.constraint.error:
        return Ended(sequence, FinishReason.FAILED, sequence.constraint.error)
    if not is_finite:
        return Ended(sequence, FinishReason.FAILED, "the model's logits are not finite")
    return Ended(sequence, FinishReason.STOP if is_stopped else FinishReason.LENGTH)
