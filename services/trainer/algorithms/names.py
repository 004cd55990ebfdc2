"""Names that recipes choose by; apart from the functions, so that reading needs no torch."""

from typing import Literal

Aggregation = Literal["token_mean", "sequence_mean", "sequence_sum"]
KlPlacement = Literal["none", "reward_k1", "loss_k2", "loss_rho_k3"]
