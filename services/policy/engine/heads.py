"""From hidden states to drawn ids: each row through the head of its kind, guided pairs combined.

Classifier-free guidance as in Janus: logits = blank + scale × (conditional − blank), on codes only.
Legend: R rows, S rows that are sampled, D width, V ids of one modality, G guided rows.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.grammar import Kind
from services.policy.engine.executor import Executor
from services.policy.engine.random_streams import uniforms
from services.policy.engine.request import TopLogprobs
from services.policy.engine.row_table import Rows, RowTable
from services.policy.engine.sampler import Draw, Draws
from services.policy.engine.served_model import ServedModel


class Drawn:
    """Parallel to the sampled rows; ids are in the one id space of text and codes.

    A row whose next id is forced holds it, with log-probability 0.
    """

    def __init__(self, num_rows: int, forced_id: int) -> None:
        self.ids_S = np.full(num_rows, forced_id, np.int64)
        self.logprobs_S = np.zeros(num_rows, np.float32)
        self.kept_mass_S = np.ones(num_rows, np.float32)
        self.is_finite_S = np.ones(num_rows, np.bool_)
        self.supports: dict[int, NDArray[np.int64]] = {}
        self._before_truncation: list[tuple[Rows, Tensor, int]] = []

    def put(self, chosen: Rows, drawn: Draw, offset: int) -> None:
        """Takes over a draw of rows `chosen`, whose ids begin at `offset`."""
        self.ids_S[chosen] = drawn.ids_R + offset
        self.logprobs_S[chosen] = drawn.logprobs_R
        self.kept_mass_S[chosen] = drawn.kept_mass_R
        self.is_finite_S[chosen] = drawn.is_finite_R
        for row, ids in drawn.supports.items():
            self.supports[int(chosen[row])] = ids + offset
        if drawn.logprobs_RV is not None:
            self._before_truncation.append((chosen, drawn.logprobs_RV, offset))

    def top(self, row: int, count: int) -> TopLogprobs:
        """The likeliest ids of a row before truncation; none where the id was forced."""
        for chosen, logprobs_RV, offset in self._before_truncation:
            at = int(np.searchsorted(chosen, row))
            if at < len(chosen) and chosen[at] == row:
                best = logprobs_RV[at].topk(min(count, logprobs_RV.shape[1]))
                is_possible = best.values.isfinite()
                ids = (best.indices[is_possible] + offset).tolist()
                return TopLogprobs(tuple(ids), tuple(best.values[is_possible].tolist()))
        return TopLogprobs((), ())


def draw_rows(
    executor: Executor, served: ServedModel, rows: RowTable, hidden_RD: Tensor
) -> Drawn:
    """Draws for all rows but twins; `hidden_RD` holds the states of all."""
    grammar, rows_S = served.grammar, rows.sampled_rows
    kinds_S = rows.kind_R[rows_S]
    drawn = Drawn(len(rows_S), grammar.special.end_of_image)
    for kind, offset in ((Kind.TEXT, 0), (Kind.CODE, grammar.vocab_size)):
        chosen = np.flatnonzero(kinds_S == kind)
        if not len(chosen):
            continue
        of_kind = rows_S[chosen]
        draws = (_text_draws if kind is Kind.TEXT else _code_draws)(
            executor, served, rows, of_kind, hidden_RD
        )
        drawn.put(chosen, executor.draw(draws), offset)
    return drawn


def _text_draws(
    executor: Executor, served: ServedModel, rows: RowTable, rows_S: Rows, hidden_RD: Tensor
) -> Draws:
    is_allowed_CV, constraint_of_S = rows.constraints(rows_S)
    return Draws(
        executor.text_logits(hidden_RD[torch.from_numpy(rows_S)]),
        rows.knobs(rows_S),
        uniforms(rows.key_R[rows_S], rows.step_R[rows_S]),
        bias_BV=served.text_bias_2V,
        bias_of_R=rows.allows_image_R[rows_S].astype(np.int64),
        is_allowed_CV=is_allowed_CV,
        constraint_of_R=constraint_of_S,
        keep_logprobs=bool(rows.wants_top_R[rows_S].any()),
    )


def _code_draws(
    executor: Executor, served: ServedModel, rows: RowTable, rows_S: Rows, hidden_RD: Tensor
) -> Draws:
    return Draws(
        _code_logits(executor, rows, rows_S, hidden_RD),
        rows.knobs(rows_S),
        uniforms(rows.key_R[rows_S], rows.step_R[rows_S]),
        keep_logprobs=bool(rows.wants_top_R[rows_S].any()),
    )


def _code_logits(executor: Executor, rows: RowTable, rows_S: Rows, hidden_RD: Tensor) -> Tensor:
    logits_SV = executor.code_logits(hidden_RD[torch.from_numpy(rows_S)])
    guided = np.flatnonzero(rows.has_twin_R[rows_S])
    if len(guided):
        twins = torch.from_numpy(rows.twin_R[rows_S[guided]])
        blank_GV = executor.code_logits(hidden_RD[twins])
        scale_G1 = torch.from_numpy(rows.guidance_R[rows_S[guided]])[:, None]
        logits_SV[guided] = blank_GV + scale_G1 * (logits_SV[guided] - blank_GV)
    return logits_SV
