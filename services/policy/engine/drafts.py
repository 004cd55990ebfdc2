"""Guesses at what a row writes next: what followed the same few ids earlier (Saxena 2023).

A guess is checked in the step that computes the row's next token, and costs little where that step
waits for weights. What is drawn never depends on it: a token is drawn from its own logits with its
own random number, and a guess is only kept where it is what was drawn.
Legend: R rows, L ids of a row so far, G guessed ids.
"""

import numpy as np
from numpy.typing import NDArray

from models.grammar import Grammar, Kind
from services.policy.engine.pages import PAGE_TOKENS
from services.policy.engine.row_table import RowTable

Drafts = dict[int, NDArray[np.int64]]  # by row

_LONGEST_MATCH, _SHORTEST_MATCH = 4, 2
_TRIAL = 24  # guessed ids before a sequence that they do not suit is left alone
_MIN_ACCEPTED = 0.25


def draft(rows: RowTable, grammar: Grammar, max_rows: int, max_tokens: int) -> Drafts:
    """Guesses for rows that write text, while there are few; within the pages that they have."""
    drafts: Drafts = {}
    if rows.count > max_rows:
        return drafts
    reserved = np.array(sorted(grammar.special.ids()))
    for row in range(rows.count):
        sequence = rows.sequences[row]
        is_suited = rows.kind_R[row] == Kind.TEXT and not rows.has_twin_R[row]
        if (
            not is_suited
            or rows.is_twin_R[row]
            or not _pays(sequence.num_drafted, sequence.num_accepted)
        ):
            continue
        room = min(
            max_tokens,
            PAGE_TOKENS * int(rows.num_pages_R[row]) - int(rows.length_R[row]) - 1,
            int(rows.max_tokens_R[row] - rows.step_R[row]) - 1,
        )
        ids_L = np.concatenate(
            [sequence.group.prompt.token_ids, rows.ids_RT[row, : rows.step_R[row]]]
        )
        guess_G = _continuation(ids_L, room)
        is_text_G = (guess_G < grammar.vocab_size) & ~np.isin(guess_G, reserved)
        guess_G = guess_G[: len(guess_G) if is_text_G.all() else int(np.argmin(is_text_G))]
        if len(guess_G):
            drafts[row] = guess_G
            sequence.num_drafted += len(guess_G)
    return drafts


def _continuation(ids_L: NDArray[np.int64], max_tokens: int) -> NDArray[np.int64]:
    """What followed the last earlier place that ends like these ids; the longest match counts."""
    if max_tokens < 1:
        return ids_L[:0]
    for size in range(_LONGEST_MATCH, _SHORTEST_MATCH - 1, -1):
        if len(ids_L) <= size:
            continue
        windows = np.lib.stride_tricks.sliding_window_view(ids_L[:-1], size)
        found = np.flatnonzero((windows == ids_L[-size:]).all(axis=1))
        if len(found):
            start = int(found[-1]) + size
            return ids_L[start : start + max_tokens]
    return ids_L[:0]


def _pays(num_drafted: int, num_accepted: int) -> bool:
    return num_drafted < _TRIAL or num_accepted >= _MIN_ACCEPTED * num_drafted
