"""From hidden states to drawn ids: each row through the head of its kind, codes with guidance.

Legend: R rows, S rows that are sampled, D width, V ids of one modality, G guided rows.
"""

import numpy as np
import torch
from torch import Tensor

from models.grammar import Kind
from services.policy.engine.drawn import Drawn, Rows
from services.policy.engine.executor import Executor
from services.policy.engine.random_streams import uniforms
from services.policy.engine.row_table import RowTable
from services.policy.engine.sampler import Draws, Guidance
from services.policy.engine.served_model import ServedModel


def draw_rows(
    executor: Executor, served: ServedModel, rows: RowTable, rows_S: Rows, hidden_RD: Tensor
) -> Drawn:
    """Draws for rows that are no twins; `hidden_RD` holds the states of all."""
    grammar = served.grammar
    kinds_S = rows.kind_R[rows_S]
    drawn = Drawn(len(rows_S))
    if grammar.draws_images:
        drawn.force((kinds_S == Kind.END_OF_IMAGE).nonzero()[0], grammar.end_of_image)
    for kind, offset in ((Kind.TEXT, 0), (Kind.CODE, grammar.vocab_size)):
        chosen = (kinds_S == kind).nonzero()[0]
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
        executor.text_logits(_states(hidden_RD, rows_S)),
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
        executor.code_logits(_states(hidden_RD, rows_S)),
        rows.knobs(rows_S),
        uniforms(rows.key_R[rows_S], rows.step_R[rows_S]),
        guidance=_guidance(executor, rows, rows_S, hidden_RD),
        keep_logprobs=bool(rows.wants_top_R[rows_S].any()),
    )


def _states(hidden_RD: Tensor, rows_S: Rows) -> Tensor:
    """hidden_SD; rows ascend, so as many as there are are all."""
    return hidden_RD if len(rows_S) == len(hidden_RD) else hidden_RD[torch.from_numpy(rows_S)]


def _guidance(
    executor: Executor, rows: RowTable, rows_S: Rows, hidden_RD: Tensor
) -> Guidance | None:
    guided = rows.has_twin_R[rows_S].nonzero()[0]
    if not len(guided):
        return None
    twins = torch.from_numpy(rows.twin_R[rows_S[guided]])
    blank_GV = executor.code_logits(hidden_RD[twins])
    return Guidance(blank_GV, guided, rows.guidance_R[rows_S[guided]])
