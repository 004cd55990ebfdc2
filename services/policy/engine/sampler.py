"""Draws ids from logits and reports the log-probability of what was drawn (DESIGN law 4).

The distribution is softmax(logits / temperature), truncated to the k likeliest ids and then to the
nucleus of mass p, renormalised. Log-probabilities are of that distribution; adding log(kept mass)
gives those before truncation. Greedy (temperature 0) is temperature 1 truncated to one id.
Legend: R rows, V ids of one modality, G guided rows, S rows that may lose ids, C constraints.
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
        return is_truncated_R.nonzero()[0]


_KEEP_ALL = 2**31 - 1


def resolve_knobs(temperature: float, top_k: int | None, top_p: float) -> tuple[float, int, float]:
    """A request's settings as one row of `Knobs`."""
    if temperature == 0:
        return 1.0, 1, 1.0
    return temperature, top_k or _KEEP_ALL, top_p


@dataclass(frozen=True, slots=True)
class Guidance:
    """Classifier-free guidance as in Janus: blank + scale × (conditional − blank), in some rows."""

    blank_GV: Tensor
    row_of_G: NDArray[np.int64]
    scale_G: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Draws:
    """What is to be drawn: a row each of logits, settings and a number in [0, 1).

    Logits and biases may be on any device; `bias_BV` holds 0 or -inf, by `bias_of_R`. A row with a
    constraint (not -1) draws from the ids that it allows, with their mass renormalised as after
    truncation.
    """

    logits_RV: Tensor
    knobs: Knobs
    uniform_R: NDArray[np.float64]
    bias_BV: Tensor | None = None
    bias_of_R: NDArray[np.int64] | None = None
    is_allowed_CV: NDArray[np.bool_] | None = None
    constraint_of_R: NDArray[np.int64] | None = None
    guidance: Guidance | None = None
    keep_logprobs: bool = False

    @property
    def guided_logits_RV(self) -> Tensor:
        """With guidance, where there is any."""
        if self.guidance is None:
            return self.logits_RV
        device, blank_GV = self.logits_RV.device, self.guidance.blank_GV
        row_of_G = torch.from_numpy(self.guidance.row_of_G).to(device)
        scale_G1 = torch.from_numpy(self.guidance.scale_G).to(device)[:, None]
        guided_GV = blank_GV + scale_G1 * (self.logits_RV[row_of_G] - blank_GV)
        return self.logits_RV.index_copy(0, row_of_G, guided_GV)

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
    """One id per row, by inverting the cumulative distribution at `uniform_R`. Any device."""
    knobs, device = draws.knobs, draws.logits_RV.device
    temperature_R1 = torch.from_numpy(knobs.temperature_R).to(device)[:, None]
    logprobs_RV = (_biased(draws) / temperature_R1).log_softmax(dim=-1)
    probs_RV = logprobs_RV.exp()
    supports: dict[int, NDArray[np.int64]] = {}
    log_kept_R = torch.zeros(len(probs_RV), device=device)
    if len(draws.limited):
        limited_S = torch.from_numpy(draws.limited).to(device)
        is_kept_SV = _keep(draws, probs_RV[limited_S])
        probs_RV[limited_S] *= is_kept_SV
        # So that an only id has log-probability 0, which the log of a sum of exp() would miss.
        kept_SV = logprobs_RV[limited_S].masked_fill(~is_kept_SV, -torch.inf)
        log_kept_R[limited_S] = kept_SV.logsumexp(dim=-1)
        kept = is_kept_SV.cpu().numpy()
        supports = {int(r): np.flatnonzero(kept[i]) for i, r in enumerate(draws.limited)}
    ids_R, is_finite_R = _invert(probs_RV, torch.from_numpy(draws.uniform_R).to(device))
    logprobs_R = logprobs_RV.gather(1, ids_R[:, None]).squeeze(1) - log_kept_R
    return Draw(
        ids_R.cpu().numpy(),
        logprobs_R.cpu().numpy(),
        log_kept_R.exp().cpu().numpy(),
        is_finite_R.cpu().numpy(),
        supports,
        logprobs_RV,
    )


def _biased(draws: Draws) -> Tensor:
    logits_RV = draws.guided_logits_RV.float()
    if draws.bias_BV is None:
        return logits_RV
    assert draws.bias_of_R is not None
    return logits_RV + draws.bias_BV[torch.from_numpy(draws.bias_of_R).to(logits_RV.device)]


def _keep(draws: Draws, probs_SV: Tensor) -> Tensor:
    """bool [S, V] of the limited rows: of the ids that are allowed, top-k, then the smallest set
    whose share of what is left reaches p."""
    device, limited = probs_SV.device, draws.limited
    top_k_S1 = torch.from_numpy(draws.knobs.top_k_R[limited]).to(device)[:, None]
    top_p_S1 = torch.from_numpy(draws.knobs.top_p_R[limited]).to(device)[:, None]
    allowed_SV = probs_SV * _is_allowed_SV(draws).to(device)
    sorted_SV, order_SV = allowed_SV.sort(dim=-1, descending=True, stable=True)
    is_in_k_SV = torch.arange(probs_SV.shape[1], device=device) < top_k_S1
    mass_SV = (sorted_SV * is_in_k_SV).double().cumsum(dim=-1)
    before_SV = mass_SV - sorted_SV
    is_in_p_SV = (before_SV < top_p_S1 * mass_SV[:, -1:]) | (top_p_S1 >= 1)
    is_kept_SV = is_in_k_SV & is_in_p_SV & (sorted_SV > 0)
    return torch.zeros_like(is_kept_SV).scatter(1, order_SV, is_kept_SV)


def _is_allowed_SV(draws: Draws) -> Tensor:
    """Of the limited rows, by their constraints. CPU."""
    limited = draws.limited
    is_allowed_SV = torch.ones(len(limited), draws.logits_RV.shape[1], dtype=torch.bool)
    if draws.is_allowed_CV is not None and draws.constraint_of_R is not None:
        constraint_of_S = draws.constraint_of_R[limited]
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
