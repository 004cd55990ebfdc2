"""Lays the tokens of a step flat: each row's next token and guesses, then chunks of prompts.

Legend: T tokens, R rows, W tokens whose state is wanted, S sequences, N pages of a sequence.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from services.policy.engine.drafts import Drafts
from services.policy.engine.executor import Executor, FlatStep
from services.policy.engine.row_table import RowTable
from services.policy.engine.track import Track

Chunks = list[tuple[Track, range]]


def flat_step(rows: RowTable, drafts: Drafts, chunks: Chunks, executor: Executor) -> FlatStep:
    """Wanted are the states of each row's tokens, in order, then of the last of each chunk."""
    count = rows.count
    if not drafts and not chunks:
        return _usual_step(rows, executor)
    lengths_R = np.ones(count, np.int64)
    for row, guess_G in drafts.items():
        lengths_R[row] += len(guess_G)
    num_row_tokens = int(lengths_R.sum())
    chunk_lengths = [len(chunk) for _, chunk in chunks]
    hidden = [executor.embed(_row_ids(rows, drafts))]
    hidden += [track.embed(chunk, executor) for track, chunk in chunks]
    positions = [_row_positions(rows, lengths_R)]
    positions += [np.arange(chunk.start, chunk.stop) for _, chunk in chunks]
    last_W = num_row_tokens + np.cumsum(chunk_lengths, dtype=np.int64) - 1
    return FlatStep(
        hidden_TD=torch.cat(hidden),
        positions_T=np.concatenate(positions).astype(np.int32),
        table_of_T=np.repeat(
            np.arange(count + len(chunks), dtype=np.int32), [*lengths_R, *chunk_lengths]
        ),
        tables_SN=_tables_SN(rows, chunks),
        wanted_W=np.concatenate([np.arange(num_row_tokens), last_W]) if chunks else None,
    )


def _usual_step(rows: RowTable, executor: Executor) -> FlatStep:
    """One token of each row."""
    count = rows.count
    return FlatStep(
        hidden_TD=executor.embed(rows.next_id_R[:count]),
        positions_T=rows.length_R[:count].astype(np.int32),
        table_of_T=np.arange(count, dtype=np.int32),
        tables_SN=rows.pages_RN[:count],
    )


def first_of_rows(num_rows: int, drafts: Drafts) -> NDArray[np.int64]:
    """Where each row's first token stands among those of all rows."""
    lengths_R = np.ones(num_rows, np.int64)
    for row, guess_G in drafts.items():
        lengths_R[row] += len(guess_G)
    return np.cumsum(lengths_R) - lengths_R


def _row_ids(rows: RowTable, drafts: Drafts) -> NDArray[np.int64]:
    ids_R = rows.next_id_R[: rows.count]
    if not drafts:
        return ids_R
    nothing = np.zeros(0, np.int64)
    return np.concatenate(
        [
            part
            for row in range(len(ids_R))
            for part in (ids_R[row : row + 1], drafts.get(row, nothing))
        ]
    )


def _row_positions(rows: RowTable, lengths_R: NDArray[np.int64]) -> NDArray[np.int64]:
    starts_T = np.repeat(np.cumsum(lengths_R) - lengths_R, lengths_R)
    offsets_T = np.arange(len(starts_T)) - starts_T
    positions_T: NDArray[np.int64] = np.repeat(rows.length_R[: rows.count], lengths_R) + offsets_T
    return positions_T


def _tables_SN(rows: RowTable, chunks: Chunks) -> NDArray[np.int32]:
    count = rows.count
    if not chunks:
        return rows.pages_RN[:count]
    tables_SN = np.zeros((count + len(chunks), rows.pages_RN.shape[1]), np.int32)
    tables_SN[:count] = rows.pages_RN[:count]
    for table_N, (track, _) in zip(tables_SN[count:], chunks, strict=True):
        table_N[: len(track.pages)] = track.table_N
    return tables_SN
