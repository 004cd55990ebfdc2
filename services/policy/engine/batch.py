"""Rows of one version that advance together: prefill of what begins, one token for all that runs.

Legend: R rows, S rows sampled in a step, P prompts of a prefill, L padded length, D width.
"""

from collections.abc import Sequence as Several
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.grammar import Kind
from models.media import MediaTensors
from models.preprocessing.media_arrays import MediaArrays
from services.policy.engine.heads import draw_rows
from services.policy.engine.kv_cache import KvCache
from services.policy.engine.observation import observe
from services.policy.engine.request import FinishReason, Token
from services.policy.engine.row_table import Endings, Rows, RowTable
from services.policy.engine.sequence import Pending, Sequence
from services.policy.engine.served_model import ServedModel


@dataclass(frozen=True, slots=True)
class Ended:
    """A sequence that left its batch for good."""

    sequence: Sequence
    reason: FinishReason
    error: str | None = None


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a step made: tokens of streamed sequences, and sequences that ended."""

    tokens: list[tuple[Sequence, Token]]
    ended: list[Ended]
    num_text_tokens: int
    num_image_tokens: int


class Batch:
    """One KV cache and one schedule for text tokens, image tokens and guided pairs."""

    def __init__(self, served: ServedModel, max_rows: int) -> None:
        self._served = served
        self._model = served.model
        self.rows = RowTable(served.grammar, max_rows, served.context_tokens)
        self.cache = KvCache(served.model.config.decoder, max_rows)

    @property
    def num_cached_tokens(self) -> int:
        return int(self.rows.length_R[: self.rows.count].sum())

    def prefill(self, pending: Several[Pending]) -> StepResult:
        """Computes each prompt once, gives it to all its samples, and draws their first token."""
        ids_PL, lengths_P = self._pad(pending)
        first_row = self.rows.count
        num_rows = first_row + sum(item.num_rows for item in pending)
        self.cache.reserve(num_rows, ids_PL.shape[1])
        try:
            prompt_of_row_R = torch.from_numpy(self._add_rows(pending))
            hidden_PLD = self._model.decode(
                self._model.embed(ids_PL, self._encode_media(pending)),
                torch.arange(ids_PL.shape[1]).expand_as(ids_PL),
                self.cache.prefill(first_row, prompt_of_row_R),
            )
            last_PD = hidden_PLD[torch.arange(len(ids_PL)), lengths_P - 1]
            return self._sample(last_PD[prompt_of_row_R], first_row)
        except Exception:
            self.rows.truncate(first_row)
            raise

    def decode(self) -> StepResult:
        """One more token for every row."""
        lengths_R = self.rows.length_R[: self.rows.count]
        self.cache.reserve(self.rows.count, int(lengths_R.max()) + 1)
        ids_R1 = torch.from_numpy(self.rows.next_id_R[: self.rows.count, None])
        hidden_R1D = self._model.decode(
            self._model.embed(ids_R1),
            torch.from_numpy(lengths_R[:, None]),
            self.cache.decode(torch.from_numpy(lengths_R)),
        )
        lengths_R += 1
        return self._sample(hidden_R1D[:, 0], 0)

    def evict(self, rows: Rows) -> list[Sequence]:
        """Takes sequences out, with what they sampled; a pair leaves by its first row."""
        sequences = [self.rows.sequences[row] for row in rows.tolist()]
        for row, sequence in zip(rows.tolist(), sequences, strict=True):
            sequence.leave(self.rows.sampled(row), self._served.version)
        sources, targets = self.rows.remove(rows)
        self.cache.move(sources, targets, int(self.rows.length_R[targets].max(initial=0)))
        return sequences

    def _pad(self, pending: Several[Pending]) -> tuple[Tensor, Tensor]:
        """(ids_PL, lengths_P): the prompts, then the twins' prompts of those that are guided."""
        grammar = self._served.grammar
        prompts = [item.token_ids_L for item in pending]
        guided = [item for item in pending if item.group.sampling.is_guided]
        prompts += [item.unconditional_ids_L(grammar) for item in guided]
        longest = max(map(len, prompts))
        ids_PL = torch.full((len(prompts), longest), grammar.special.pad)
        for index, prompt in enumerate(prompts):
            ids_PL[index, : len(prompt)] = torch.from_numpy(prompt)
        return ids_PL, torch.tensor([len(prompt) for prompt in prompts])

    def _add_rows(self, pending: Several[Pending]) -> NDArray[np.int64]:
        """Adds all sequences; returns which prompt of `_pad` each new row begins with."""
        prompt_of_row: list[int] = []
        twin_prompt = len(pending)
        for prompt, item in enumerate(pending):
            is_guided, length = item.group.sampling.is_guided, len(item.token_ids_L)
            position = item.position(self._served.grammar)
            for sequence in item.sequences:
                self.rows.add(sequence, length, position)
                prompt_of_row += [prompt, twin_prompt] if is_guided else [prompt]
            twin_prompt += is_guided
        return np.array(prompt_of_row)

    def _encode_media(self, pending: Several[Pending]) -> Tensor | None:
        """features_FD of all media, in the order of their prompts."""
        media = MediaArrays.concatenate([item.group.prompt.media for item in pending])
        return self._model.encode_media(MediaTensors.from_arrays(media))

    def _sample(self, hidden_RD: Tensor, first_row: int) -> StepResult:
        """Draws for the rows from `first_row` on, whose states are given."""
        rows_S = self.rows.sampled_rows(first_row)
        drawn = draw_rows(self._served, self.rows, rows_S, hidden_RD, first_row)
        num_text = int((self.rows.kind_R[rows_S] == Kind.TEXT).sum())
        endings = self.rows.record(rows_S, drawn.ids_S, drawn.logprobs_S, drawn.kept_mass_S)
        tokens = observe(self.rows, rows_S, drawn, endings)
        ended = self._collect(rows_S, endings, drawn.is_finite_S)
        return StepResult(tokens, ended, num_text, len(rows_S) - num_text)

    def _collect(
        self, rows_S: Rows, endings: Endings, is_finite_S: NDArray[np.bool_]
    ) -> list[Ended]:
        is_over_S = endings.is_stopped_S | endings.is_exhausted_S | ~is_finite_S
        over = np.flatnonzero(is_over_S)
        sequences = self.evict(rows_S[over]) if len(over) else []
        return [
            _ended(sequence, bool(endings.is_stopped_S[at]), bool(is_finite_S[at]))
            for sequence, at in zip(sequences, over.tolist(), strict=True)
        ]


def _ended(sequence: Sequence, is_stopped: bool, is_finite: bool) -> Ended:
    if not is_finite:
        return Ended(sequence, FinishReason.FAILED, "the model's logits are not finite")
    return Ended(sequence, FinishReason.STOP if is_stopped else FinishReason.LENGTH)
