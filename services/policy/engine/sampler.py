"""Draws ids from logits and reports the log-probability of what was drawn (DESIGN law 4).

The distribution is softmax(logits / temperature), truncated to the k likeliest ids and then to the
nucleus of mass p, renormalised. Log-probabilities are of that distribution; adding log(kept mass)
gives those before truncation. Greedy (temperature 0) is temperature 1 truncated to one id.
Legend: R rows, V ids of one modality.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Knobs:
    """Per row. `top_k_R` is at least 1 and `top_p_R` in (0, 1]; V and 1 keep everything."""

    temperature_R: NDArray[np.float32]
    top_k_R: NDArray[np.int64]
    top_p_R: NDArray[np.float32]

    @property
    def truncated(self) -> NDArray[np.int64]:
        """Rows whose distribution may lose ids; the vocabulary's size is not known here."""
        is_truncated_R = (self.top_k_R < _KEEP_ALL) | (self.top_p_R < 1)
        return np.flatnonzero(is_truncated_R)


_KEEP_ALL = 2**31 - 1


def resolve_knobs(temperature: float, top_k: int | None, top_p: float) -> tuple[float, int, float]:
    """A request's settings as one row of `Knobs`."""
    if temperature == 0:
        return 1.0, 1, 1.0
    return temperature, top_k or _KEEP_ALL, top_p


@dataclass(frozen=True, slots=True)
class Draws:
    """What is to be drawn: a row each of logits, settings and a number in [0, 1).

    `bias_BV` holds 0 or -inf, by `bias_of_R`. A row with a constraint (not -1) draws from the ids
    that it allows, with their mass renormalised as after truncation.
    """

    logits_RV: Tensor
    knobs: Knobs
    uniform_R: NDArray[np.float64]
    bias_BV: Tensor | None = None
    bias_of_R: NDArray[np.int64] | None = None
    is_allowed_CV: NDArray[np.bool_] | None = None
    constraint_of_R: NDArray[np.int64] | None = None
    keep_logprobs: bool = False

    @property
    def limited(self) -> NDArray[np.int64]:
        """Rows whose distribution may lose ids."""
        if self.constraint_of_R is None:
            return self.knobs.truncated
        return np.union1d(self.knobs.truncated, np.flatnonzero(self.constraint_of_R >= 0))


@dataclass(frozen=True, slots=True)
class Draw:
    """What was drawn in each row.

    `supports` holds the kept ids of each truncated row, by row. `logprobs_RV` is before truncation,
    where it was wanted.
    A row that is not finite has no usable id.
    """

    ids_R: NDArray[np.int64]
    logprobs_R: NDArray[np.float32]
    kept_mass_R: NDArray[np.float32]
    is_finite_R: NDArray[np.bool_]
    supports: dict[int, NDArray[np.int64]]
    logprobs_RV: Tensor | None


def draw(draws: Draws) -> Draw:
    """One id per row, by inverting the cumulative distribution at `uniform_R`. CPU."""
    knobs, truncated = draws.knobs, draws.limited
    temperature_R1 = torch.from_numpy(knobs.temperature_R)[:, None]
    logprobs_RV = (_biased(draws) / temperature_R1).log_softmax(dim=-1)
    probs_RV = logprobs_RV.exp()
    supports: dict[int, NDArray[np.int64]] = {}
    log_kept_R = torch.zeros(len(probs_RV))
    if len(truncated):
        allowed_SV = probs_RV[truncated] * _is_allowed_SV(draws, truncated)
        is_kept_SV = _keep(allowed_SV, knobs.top_k_R[truncated], knobs.top_p_R[truncated])
        probs_RV[truncated] *= is_kept_SV
        # So that an only id has log-probability 0, which the log of a sum of exp() would miss.
        kept_SV = logprobs_RV[truncated].masked_fill(~is_kept_SV, -torch.inf)
        log_kept_R[truncated] = kept_SV.logsumexp(dim=-1)
        kept = is_kept_SV.numpy()
        supports = {int(r): np.flatnonzero(kept[i]) for i, r in enumerate(truncated)}
    ids_R, is_finite_R = _invert(probs_RV, torch.from_numpy(draws.uniform_R))
    logprobs_R = logprobs_RV.gather(1, ids_R[:, None]).squeeze(1) - log_kept_R
    return Draw(
        ids_R.numpy(),
        logprobs_R.numpy(),
        log_kept_R.exp().numpy(),
        is_finite_R.numpy(),
        supports,
        logprobs_RV,
    )


def _biased(draws: Draws) -> Tensor:
    logits_RV = draws.logits_RV.float()
    if draws.bias_BV is None:
        return logits_RV
    assert draws.bias_of_R is not None
    return logits_RV + draws.bias_BV[torch.from_numpy(draws.bias_of_R)]


def _is_allowed_SV(draws: Draws, rows_S: NDArray[np.int64]) -> Tensor:
    is_allowed_SV = torch.ones(len(rows_S), draws.logits_RV.shape[1], dtype=torch.bool)
    if draws.is_allowed_CV is not None and draws.constraint_of_R is not None:
        constraint_of_S = draws.constraint_of_R[rows_S]
        constrained = np.flatnonzero(constraint_of_S >= 0)
        chosen_CV = draws.is_allowed_CV[constraint_of_S[constrained]]
        is_allowed_SV[torch.from_numpy(constrained)] = torch.from_numpy(chosen_CV)
    return is_allowed_SV


def _invert(probs_RV: Tensor, uniform_R: Tensor) -> tuple[Tensor, Tensor]:
    """The first id whose cumulative mass exceeds u × total; float64, so that small ones count."""
    mass_RV = probs_RV.double().cumsum(dim=-1)
    total_R1 = mass_RV[:, -1:]
    ids_R1 = torch.searchsorted(mass_RV, uniform_R[:, None] * total_R1, right=True)
    is_finite_R = (total_R1.isfinite() & (total_R1 > 0)).squeeze(1)
    return ids_R1.squeeze(1).clamp(max=probs_RV.shape[1] - 1), is_finite_R


def _keep(probs_RV: Tensor, top_k_R: NDArray[np.int64], top_p_R: NDArray[np.float32]) -> Tensor:
    """bool [R, V]: top-k, then the smallest set whose share of what is left reaches p."""
    top_k_R1 = torch.from_numpy(top_k_R)[:, None]
    top_p_R1 = torch.from_numpy(top_p_R)[:, None]
    sorted_RV, order_RV = probs_RV.sort(dim=-1, descending=True, stable=True)
    is_in_k_RV = torch.arange(probs_RV.shape[1]) < top_k_R1
    mass_RV = (sorted_RV * is_in_k_RV).double().cumsum(dim=-1)
    before_RV = mass_RV - sorted_RV
    is_in_p_RV = (before_RV < top_p_R1 * mass_RV[:, -1:]) | (top_p_R1 >= 1)
    is_kept_RV = is_in_k_RV & is_in_p_RV & (sorted_RV > 0)
    return torch.zeros_like(is_kept_RV).scatter(1, order_RV, is_kept_RV)
