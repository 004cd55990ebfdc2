"""Rows of one version that advance together: each step computes the next token of every row that
runs, and chunks of the prompts that come in, as one list of tokens.

Legend: T tokens of a step, R rows, S rows sampled in a step, W tokens whose state is wanted.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.grammar import Kind
from services.policy.engine.drafts import Drafts, draft
from services.policy.engine.drawn import Rows
from services.policy.engine.encoders import FeatureCache
from services.policy.engine.executor import Executor
from services.policy.engine.flat_step import Chunks, first_of_rows, flat_step
from services.policy.engine.heads import draw_rows
from services.policy.engine.observation import observe
from services.policy.engine.pages import Page, PagePool, RootKey
from services.policy.engine.prefill import Prefill, prefill_of
from services.policy.engine.request import Priority
from services.policy.engine.row_table import Endings, RowTable
from services.policy.engine.sequence import Pending, Sequence
from services.policy.engine.served_model import ServedModel
from services.policy.engine.step_result import StepResult, ended_by
from services.policy.engine.track import track_of

_MAX_DRAFT = 6


class Batch:
    """One schedule for text tokens, image tokens and guided pairs, over pages of the cache."""

    def __init__(
        self,
        served: ServedModel,
        executor: Executor,
        pool: PagePool,
        features: FeatureCache,
        max_rows: int,
    ) -> None:
        self._served = served
        self._executor = executor
        self._pool = pool
        self._features = features
        self._is_text_V = np.ones(served.grammar.vocab_size, np.bool_)
        self._is_text_V[sorted(served.grammar.special.ids())] = False
        self.rows = RowTable(served.grammar, max_rows, served.context_tokens)
        self.prefills: list[Prefill] = []

    @property
    def num_rows(self) -> int:
        """Taken: by what runs, and by what will when its prompt is computed."""
        return self.rows.count + sum(prefill.num_rows for prefill in self.prefills)

    @property
    def has_work(self) -> bool:
        return bool(self.rows.count or self.prefills)

    def prepare(self, pending: Pending) -> Prefill:
        """What sequences begin from, its media encoded. Raises whatever the encoders raise."""
        prefill = prefill_of(pending, self._served)
        for track in prefill.tracks:
            track.encode(self._served, self._features)
        return prefill

    def admit(self, prefill: Prefill) -> bool:
        """Takes pages for what was prepared, if there are enough for it and what runs."""
        root = (self._served.version, prefill.pending.job.tenant)
        if not prefill.take_pages(self._pool, root, num_spare=self.rows.count):
            return False
        self.prefills.append(prefill)
        return True

    def step(self, max_prompt_tokens: int, max_drafted_rows: int = 0) -> StepResult:
        """One token more for every row, and up to so many tokens of prompts.

        While there are few rows, those that repeat themselves may get more than one (drafts.py).
        """
        result = StepResult()
        self._make_room(result)
        num_decoded = result.num_decoded_rows = self.rows.count
        chunks = self._next_chunks(max_prompt_tokens)
        if not num_decoded and not chunks:
            return result
        drafts = draft(self.rows, self._is_text_V, max_drafted_rows, _MAX_DRAFT)
        row_states, chunk_states = self._run(drafts, chunks)
        self.rows.length_R[:num_decoded] += 1
        first_R = first_of_rows(num_decoded, drafts)
        states = [
            row_states[first_R] if drafts else row_states,
            *self._fork(chunks, chunk_states, result),
        ]
        result.num_prompt_tokens = sum(len(chunk) for _, chunk in chunks)
        if self.rows.count:
            endings = self._draw(
                self.rows.sampled_rows, torch.cat(states) if chunks else states[0], result
            )
            self._sample_drafts(drafts, row_states, first_R, endings, result)
            self._end(endings, result)
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

    def _next_chunks(self, budget: int) -> Chunks:
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

    def _run(self, drafts: Drafts, chunks: Chunks) -> tuple[Tensor, Tensor]:
        """(row_states_WD of all tokens of rows, chunk_states_WD of each chunk's last token)."""
        complete = [page for track, chunk in chunks for page in track.mark(chunk)]
        try:
            step = flat_step(self.rows, drafts, chunks, self._executor)
            states_WD = self._executor.run(step)
        except Exception:
            for page in complete:
                page.is_computed = False
            raise
        num_chunks = len(chunks)
        return states_WD[: len(states_WD) - num_chunks], states_WD[len(states_WD) - num_chunks :]

    def _fork(self, chunks: Chunks, last_WD: Tensor, result: StepResult) -> list[Tensor]:
        """Makes rows of the prompts that are complete; gives the states of the new rows."""
        for (track, chunk), last_D in zip(chunks, last_WD, strict=True):
            if chunk.stop == len(track.ids_L):
                track.last_hidden_D = last_D
        states: list[Tensor] = []
        for prefill in [each for each in self.prefills if each.is_computed]:
            self.prefills.remove(prefill)
            pending, first = prefill.pending, prefill.tracks[0]
            position = pending.position(self._served.grammar)
            state_TD = torch.stack(prefill.last_states)
            chains = prefill.chains(self._pool, self._executor.copy_page)
            for sequence, its_chains in zip(pending.sequences, chains, strict=True):
                self.rows.add(sequence, len(first.ids_L), position, its_chains)
                states.append(state_TD)
            result.begun.append(pending.job)
        return states

    def _sample_drafts(
        self,
        drafts: Drafts,
        row_states_WD: Tensor,
        first_R: NDArray[np.int64],
        endings: Endings,
        result: StepResult,
    ) -> None:
        """Goes on with rows whose guess was drawn: the state after it is there already."""
        rows, depth = self.rows, 0
        going = dict(drafts)
        while going:
            going = {
                row: guess_G
                for row, guess_G in going.items()
                if depth < len(guess_G)
                and not endings.is_over(row)
                and rows.kind_R[row] == Kind.TEXT
                and rows.next_id_R[row] == guess_G[depth]
            }
            if not going:
                return
            depth += 1
            rows_S = np.array(list(going))
            rows.length_R[rows_S] += 1
            for row in going:
                rows.sequences[row].num_accepted += 1
            hidden_RD = row_states_WD.new_zeros(rows.count, row_states_WD.shape[1])
            hidden_RD[rows_S] = row_states_WD[first_R[rows_S] + depth]
            endings.add(self._draw(rows_S, hidden_RD, result))

    def _draw(self, rows_S: Rows, hidden_RD: Tensor, result: StepResult) -> Endings:
        """One token for each of `rows_S`, by the states of all rows; says which end by it."""
        drawn = draw_rows(self._executor, self._served, self.rows, rows_S, hidden_RD)
        num_text = int((self.rows.kind_R[rows_S] == Kind.TEXT).sum())
        result.num_text_tokens += num_text
        result.num_image_tokens += len(rows_S) - num_text
        endings = self.rows.record(rows_S, drawn)
        result.tokens += observe(self.rows, rows_S, drawn, endings)
        return endings

    def _end(self, endings: Endings, result: StepResult) -> None:
        """Takes out what is over."""
        over = endings.over
        for row in over.tolist():
            is_interactive = self.rows.sequences[row].job.priority is Priority.INTERACTIVE
            if is_interactive and endings.is_finite_R[row]:
                self._remember(row)
        sequences = self.evict(over) if len(over) else []
        for sequence, row in zip(sequences, over.tolist(), strict=True):
            result.ended.append(ended_by(sequence, endings, row))

    def _remember(self, row: int) -> None:
        """Lets the next turn of a dialogue find the pages of this answer."""
        sequence, chain = self.rows.sequences[row], self.rows.chains[row]
        ids_L = np.concatenate(
            [sequence.group.prompt.token_ids, self.rows.sampled(row).token_ids_T]
        )
        cached_ids_L = ids_L[: self.rows.length_R[row]]
        track = track_of(cached_ids_L, Pending((sequence,)).units, self._served.model.config)
        parent: Page | RootKey = (self._served.version, sequence.job.tenant)
        for page, content in zip(chain, track.contents, strict=False):
            if not page.is_shareable:
                page.is_computed = True
                if not self._pool.publish(page, parent, content):
                    break
            parent = page
