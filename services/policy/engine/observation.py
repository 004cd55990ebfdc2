"""What some rows want of each token beyond the numbers: text, stop strings, supports, top ids.

The only Python that runs per row and step, so it runs for the rows that asked.
Legend: R rows, S rows sampled in a step.
"""

from services.policy.engine.drawn import Drawn, Rows
from services.policy.engine.request import Token, TopLogprobs
from services.policy.engine.row_table import Endings, RowTable
from services.policy.engine.sequence import Sequence


def observe(
    rows: RowTable, rows_S: Rows, drawn: Drawn, endings: Endings
) -> list[tuple[Sequence, Token]]:
    """Tokens of streamed sequences. Marks in `endings` what a stop string ends."""
    tokens: list[tuple[Sequence, Token]] = []
    for at in rows.is_observed_R[rows_S].nonzero()[0].tolist():
        row = int(rows_S[at])
        sequence = rows.sequences[row]
        num_new = 2 if rows.is_closed(row) else 1  # an image's last code brings its end
        steps = slice(rows.step_R[row] - num_new, rows.step_R[row])
        if sequence.constraint is not None:
            endings.is_stopped_R[row] |= sequence.constraint.advance(int(drawn.ids_S[at]))
        new = zip(rows.ids_RT[row, steps].tolist(), rows.logprobs_RT[row, steps], strict=True)
        for index, (token_id, logprob) in enumerate(new):
            top = _report(sequence, drawn, at, is_forced=index > 0)
            text = sequence.text.add(token_id) if sequence.text else ""
            is_last = index == num_new - 1
            if is_last and sequence.text and endings.is_over(row):
                text += sequence.text.finish()
            tokens.append((sequence, _token(sequence, token_id, float(logprob), text, top)))
        endings.is_stopped_R[row] |= sequence.text is not None and sequence.text.is_stopped
    return [(sequence, token) for sequence, token in tokens if sequence.job.is_streamed]


def _report(sequence: Sequence, drawn: Drawn, at: int, is_forced: bool) -> TopLogprobs | None:
    """Keeps the support and the likeliest ids of a token, where they are wanted."""
    sampling = sequence.group.sampling
    if sampling.is_truncated:
        sequence.supports.append(None if is_forced else drawn.supports.get(at))
    if not sampling.num_top_logprobs:
        return None
    top = TopLogprobs((), ()) if is_forced else drawn.top(at, sampling.num_top_logprobs)
    sequence.top.append(top)
    return top


def _token(
    sequence: Sequence, token_id: int, logprob: float, text: str, top: TopLogprobs | None
) -> Token:
    return Token(sequence.group.index, sequence.sample_index, token_id, logprob, text, top)
