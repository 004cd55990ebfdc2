"""Guesses at what a row writes next: what followed the same few ids earlier (Saxena 2023).

A guess is checked in the step that computes the row's next token, and costs little where that step
waits for weights. What is drawn never depends on it: a token is drawn from its own logits with its
own random number, and a guess is only kept where it is what was drawn.
Legend: R rows, V text ids, L ids of a row so far, G guessed ids.
"""

import numpy as np
from numpy.typing import NDArray

from models.grammar import Kind
from services.policy.engine.pages import PAGE_TOKENS
from services.policy.engine.row_table import RowTable

Drafts = dict[int, NDArray[np.int64]]  # by row

_LONGEST_MATCH, _SHORTEST_MATCH = 4, 2
_TRIAL = 24  # guessed ids before a sequence that they do not suit is left alone
_MIN_ACCEPTED = 0.25


def draft(rows: RowTable, is_text_V: NDArray[np.bool_], max_rows: int, max_tokens: int) -> Drafts:
    """Guesses for rows that write text, while there are few; within the pages that they have.

    `is_text_V` says which ids are words.
    """
    drafts: Drafts = {}
    if rows.count > max_rows:
        return drafts
    for row in range(rows.count):
        if _is_suited(rows, row):
            guess_G = _guess(rows, row, is_text_V, max_tokens)
            if len(guess_G):
                drafts[row] = guess_G
                rows.sequences[row].num_drafted += len(guess_G)
    return drafts


def _is_suited(rows: RowTable, row: int) -> bool:
    """A row of text that is no pair, and whose guesses were good so far."""
    is_paired = rows.is_twin_R[row] or rows.has_twin_R[row]
    if is_paired or rows.kind_R[row] != Kind.TEXT:
        return False
    drafted, accepted = rows.sequences[row].num_drafted, rows.sequences[row].num_accepted
    return drafted < _TRIAL or accepted >= _MIN_ACCEPTED * drafted


def _guess(
    rows: RowTable, row: int, is_text_V: NDArray[np.bool_], max_tokens: int
) -> NDArray[np.int64]:
    """Words alone, so many as fit into the row's last page and its limit."""
    steps = int(rows.step_R[row])
    room_in_page = PAGE_TOKENS * int(rows.num_pages_R[row]) - int(rows.length_R[row]) - 1
    room = min(max_tokens, room_in_page, int(rows.max_tokens_R[row]) - steps - 1)
    prompt_ids = rows.sequences[row].group.prompt.token_ids
    guess_G = _continuation(np.concatenate([prompt_ids, rows.ids_RT[row, :steps]]), room)
    is_text_G = guess_G < len(is_text_V)
    is_text_G[is_text_G] = is_text_V[guess_G[is_text_G]]
    return guess_G if is_text_G.all() else guess_G[: int(np.argmin(is_text_G))]


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
