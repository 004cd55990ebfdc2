"""Guidance, temperature, truncation, draw and log-probability of a row in one kernel.

engine/sampler.py is the definition. A program has one row. It goes through the logits for their
peak and again for each id's share, exp(score - peak), which it writes down; then through shares
alone: once to draw, and where the row is truncated 30 times more for each of k and p, to find bit
by bit the share below which ids are dropped (in [0, 1] floats order as their bits). Shares are
float32, their sums float64. Legend: R rows, V ids of one modality, B biases, C constraints,
G guided rows, S settings, O outcomes.
"""

import numpy as np
import torch
import triton
import triton.language as tl
from numpy.typing import NDArray
from torch import Tensor

from services.policy.engine.sampler import Draw, Draws

_MAX_BLOCK_V = 4096
_NUM_OUTCOMES = 4


def draw(draws: Draws) -> Draw:
    """One id per row. One transfer brings the settings, one fetches the outcomes."""
    num_rows, num_ids = draws.logits_RV.shape
    device, guidance = draws.logits_RV.device, draws.guidance
    outcomes_OR = torch.empty(_NUM_OUTCOMES, num_rows, dtype=torch.float64, device=device)
    is_kept_RV = logprobs_RV = is_allowed_CV = None
    if len(draws.limited):
        is_kept_RV = torch.empty(num_rows, num_ids, dtype=torch.uint8, device=device)
    if draws.keep_logprobs:
        logprobs_RV = torch.empty(num_rows, num_ids, device=device)
    if draws.is_allowed_CV is not None:
        is_allowed_CV = torch.from_numpy(draws.is_allowed_CV.view(np.uint8)).to(device)
    shares_RV = torch.empty(num_rows, num_ids, device=device)
    block = min(_MAX_BLOCK_V, triton.next_power_of_2(num_ids))
    draw_kernel[(num_rows,)](
        draws.logits_RV.contiguous(),
        None if guidance is None else guidance.blank_GV.contiguous(),
        *(draws.bias_BV, is_allowed_CV, torch.from_numpy(_settings_SR(draws)).to(device)),
        *(shares_RV, outcomes_OR, is_kept_RV, logprobs_RV, num_ids),
        BLOCK_V=block,
        num_warps=max(1, min(8, block // 256)),
    )
    ids_R, logprobs_R, kept_mass_R, is_finite_R = outcomes_OR.cpu().numpy()
    return Draw(
        ids_R.astype(np.int64),
        logprobs_R.astype(np.float32),
        kept_mass_R.astype(np.float32),
        is_finite_R.astype(np.bool_),
        {} if is_kept_RV is None else _supports(is_kept_RV, draws.limited),
        logprobs_RV,
    )


def _settings_SR(draws: Draws) -> NDArray[np.float64]:
    """All that differs by row, in the order that the kernel reads; float64 holds each exactly."""
    knobs, guidance, num_rows = draws.knobs, draws.guidance, len(draws.uniform_R)
    guide_R, scale_R = np.zeros(num_rows), np.ones(num_rows)
    if guidance is not None:
        guide_R[guidance.row_of_G] = np.arange(len(guidance.row_of_G))
        scale_R[guidance.row_of_G] = guidance.scale_G
    no_bias_R, unconstrained_R = np.zeros(num_rows), np.full(num_rows, -1.0)
    settings = (
        *(knobs.temperature_R, knobs.top_k_R, knobs.top_p_R, draws.uniform_R),
        no_bias_R if draws.bias_of_R is None else draws.bias_of_R,
        unconstrained_R if draws.constraint_of_R is None else draws.constraint_of_R,
        *(guide_R, scale_R),
    )
    return np.stack([setting_R.astype(np.float64) for setting_R in settings])


def _supports(is_kept_RV: Tensor, limited: NDArray[np.int64]) -> dict[int, NDArray[np.int64]]:
    """The kept ids of each limited row."""
    limited_S = torch.from_numpy(limited).to(is_kept_RV.device)
    places, ids = is_kept_RV[limited_S].nonzero().cpu().numpy().T
    ends = np.searchsorted(places, np.arange(1, len(limited)))
    return dict(zip(limited.tolist(), np.split(ids, ends), strict=True))


@triton.jit
def draw_kernel(
    logits_RV: tl.tensor,
    blank_GV: tl.tensor,
    bias_BV: tl.tensor,
    is_allowed_CV: tl.tensor,
    settings_SR: tl.tensor,
    shares_RV: tl.tensor,
    outcomes_OR: tl.tensor,
    is_kept_RV: tl.tensor,
    logprobs_RV: tl.tensor,
    num_ids: tl.tensor,
    BLOCK_V: tl.constexpr,
) -> None:
    row, num_rows = tl.program_id(0).to(tl.int64), tl.num_programs(0)
    settings_S = settings_SR + row
    temperature = tl.load(settings_S).to(tl.float32)
    top_k = tl.load(settings_S + num_rows).to(tl.int32)
    top_p = tl.load(settings_S + 2 * num_rows)
    uniform = tl.load(settings_S + 3 * num_rows)
    bias = tl.load(settings_S + 4 * num_rows).to(tl.int64)
    constraint = tl.load(settings_S + 5 * num_rows).to(tl.int64)
    guide = tl.load(settings_S + 6 * num_rows).to(tl.int64)
    scale = tl.load(settings_S + 7 * num_rows).to(tl.float32)
    logits_V, shares_V = logits_RV + row * num_ids, shares_RV + row * num_ids
    blank_V = None if blank_GV is None else blank_GV + guide * num_ids
    bias_V = None if bias_BV is None else bias_BV + bias * num_ids
    is_kept_V = None if is_kept_RV is None else is_kept_RV + row * num_ids

    peak = _peak(logits_V, blank_V, bias_V, scale, temperature, num_ids, BLOCK_V)
    totals, allowed = tl.zeros([BLOCK_V], tl.float64), tl.zeros([BLOCK_V], tl.float64)
    for start in range(0, num_ids, BLOCK_V):
        ids = start + tl.arange(0, BLOCK_V)
        is_id = ids < num_ids
        scores = _scores(logits_V, blank_V, bias_V, scale, temperature, ids, is_id)
        shares = tl.where(is_id, tl.exp(scores - peak), 0.0)
        totals += shares.to(tl.float64)
        if is_allowed_CV is not None:
            is_read = tl.where(is_id, constraint, -1) >= 0
            is_allowed = tl.load(is_allowed_CV + constraint * num_ids + ids, is_read, other=1)
            shares = tl.where(is_allowed != 0, shares, 0.0)
        allowed += shares.to(tl.float64)
        tl.store(shares_V + ids, shares, mask=is_id)
    total, kept = tl.sum(totals, axis=0), tl.sum(allowed, axis=0)
    tl.debug_barrier()  # what one thread wrote down, others read

    floor, num_ties, kept = _truncate(shares_V, top_k, top_p, kept, num_ids, BLOCK_V)
    drawn = _invert(shares_V, floor, num_ties, uniform * kept, is_kept_V, num_ids, BLOCK_V)
    score = _scores(logits_V, blank_V, bias_V, scale, temperature, drawn, drawn < num_ids)
    outcomes_O, is_finite = outcomes_OR + row, (total < float("inf")) & (kept > 0)
    tl.store(outcomes_O, drawn.to(tl.float64))
    tl.store(outcomes_O + num_rows, (score - peak).to(tl.float64) - tl.log(kept))
    tl.store(outcomes_O + 2 * num_rows, kept / total)
    tl.store(outcomes_O + 3 * num_rows, is_finite.to(tl.float64))
    if logprobs_RV is not None:
        logprobs_V, log_total = logprobs_RV + row * num_ids, tl.log(total).to(tl.float32)
        for start in range(0, num_ids, BLOCK_V):
            ids = start + tl.arange(0, BLOCK_V)
            is_id = ids < num_ids
            scores = _scores(logits_V, blank_V, bias_V, scale, temperature, ids, is_id)
            tl.store(logprobs_V + ids, scores - peak - log_total, mask=is_id)


@triton.jit
def _peak(
    logits_V: tl.tensor,
    blank_V: tl.tensor,
    bias_V: tl.tensor,
    scale: tl.tensor,
    temperature: tl.tensor,
    num_ids: tl.tensor,
    BLOCK_V: tl.constexpr,
) -> tl.tensor:
    """The highest score."""
    peaks = tl.full([BLOCK_V], float("-inf"), tl.float32)
    for start in range(0, num_ids, BLOCK_V):
        ids = start + tl.arange(0, BLOCK_V)
        scores = _scores(logits_V, blank_V, bias_V, scale, temperature, ids, ids < num_ids)
        peaks = tl.maximum(peaks, scores)
    return tl.max(peaks, axis=0)


@triton.jit
def _scores(
    logits_V: tl.tensor,
    blank_V: tl.tensor,
    bias_V: tl.tensor,
    scale: tl.tensor,
    temperature: tl.tensor,
    ids: tl.tensor,
    is_id: tl.tensor,
) -> tl.tensor:
    """What the softmax is over; -inf where there is no id. A scale of 1 guides nothing."""
    scores = tl.load(logits_V + ids, mask=is_id, other=0.0).to(tl.float32)
    if blank_V is not None:
        is_guided = tl.where(is_id, scale, 1.0) != 1
        blanks = tl.load(blank_V + ids, mask=is_guided, other=0.0).to(tl.float32)
        scores = tl.where(is_guided, blanks + scale * (scores - blanks), scores)
    if bias_V is not None:
        scores += tl.load(bias_V + ids, mask=is_id, other=0.0)
    return tl.where(is_id, scores / temperature, float("-inf"))


@triton.jit
def _truncate(
    shares_V: tl.tensor,
    top_k: tl.tensor,
    top_p: tl.tensor,
    kept: tl.tensor,
    num_ids: tl.tensor,
    BLOCK_V: tl.constexpr,
) -> tuple[tl.tensor, tl.tensor, tl.tensor]:
    """(floor, number of ties, kept): shares above `floor`, by its bits, are kept, and of those
    that equal it the first few; `kept` is the mass of all, before and after."""
    floor, num_ties = tl.zeros([], tl.int32), tl.zeros([], tl.int32)
    if top_k < num_ids:
        for place in range(30):
            higher = floor | (1 << (29 - place))
            count, _ = _at_least(shares_V, higher, num_ids, BLOCK_V)
            floor = tl.where(count >= top_k, higher, floor)
        num_above, above = _at_least(shares_V, floor + 1, num_ids, BLOCK_V)
        num_ties = top_k - num_above
        kept = above + num_ties * floor.to(tl.float32, bitcast=True).to(tl.float64)
    if top_p < 1:
        wanted, level = top_p * kept, tl.zeros([], tl.int32)
        for place in range(30):
            higher = level | (1 << (29 - place))
            _, mass = _at_least(shares_V, higher, num_ids, BLOCK_V)
            level = tl.where((higher <= floor) | (mass >= wanted), higher, level)
        _, above = _at_least(shares_V, level + 1, num_ids, BLOCK_V)
        share = level.to(tl.float32, bitcast=True).to(tl.float64)
        num_wanted = tl.ceil((wanted - above) / tl.where(share > 0, share, 1.0)).to(tl.int32)
        is_cut_by_k = (level == floor) & (top_k < num_ids)
        num_ties = tl.where(is_cut_by_k, tl.minimum(num_ties, num_wanted), num_wanted)
        floor, kept = level, above + num_ties * share
    return floor, num_ties, kept


@triton.jit
def _at_least(
    shares_V: tl.tensor, lowest: tl.tensor, num_ids: tl.tensor, BLOCK_V: tl.constexpr
) -> tuple[tl.tensor, tl.tensor]:
    """How many shares have these bits or higher ones, and their mass."""
    counts, masses = tl.zeros([BLOCK_V], tl.int32), tl.zeros([BLOCK_V], tl.float64)
    for start in range(0, num_ids, BLOCK_V):
        ids = start + tl.arange(0, BLOCK_V)
        shares = tl.load(shares_V + ids, mask=ids < num_ids, other=0.0)
        is_high = (shares.to(tl.int32, bitcast=True) >= lowest) & (ids < num_ids)
        counts += is_high.to(tl.int32)
        masses += tl.where(is_high, shares, 0.0).to(tl.float64)
    return tl.sum(counts, axis=0), tl.sum(masses, axis=0)


@triton.jit
def _invert(
    shares_V: tl.tensor,
    floor: tl.tensor,
    num_ties: tl.tensor,
    wanted: tl.tensor,
    is_kept_V: tl.tensor,
    num_ids: tl.tensor,
    BLOCK_V: tl.constexpr,
) -> tl.tensor:
    """The first kept id whose cumulative mass exceeds `wanted`; the last one where rounding left
    nothing over."""
    found, last = tl.cast(num_ids, tl.int32), tl.zeros([], tl.int32)
    ties_before, mass_before = tl.zeros([], tl.int32), tl.zeros([], tl.float64)
    for start in range(0, num_ids, BLOCK_V):
        ids = start + tl.arange(0, BLOCK_V)
        shares = tl.load(shares_V + ids, mask=ids < num_ids, other=0.0)
        bits = shares.to(tl.int32, bitcast=True)
        is_tie = (bits == floor).to(tl.int32)
        rank = ties_before + tl.cumsum(is_tie, axis=0)
        is_kept = (shares > 0) & ((bits > floor) | ((is_tie > 0) & (rank <= num_ties)))
        masses = tl.where(is_kept, shares, 0.0).to(tl.float64)
        is_past = is_kept & (mass_before + tl.cumsum(masses, axis=0) > wanted)
        found = tl.minimum(found, tl.min(tl.where(is_past, ids, num_ids), axis=0))
        last = tl.maximum(last, tl.max(tl.where(is_kept, ids, 0), axis=0))
        ties_before += tl.sum(is_tie, axis=0)
        mass_before += tl.sum(masses, axis=0)
        if is_kept_V is not None:
            tl.store(is_kept_V + ids, is_kept.to(tl.uint8), mask=ids < num_ids)
    return tl.where(found < num_ids, found, last)
