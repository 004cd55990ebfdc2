"""How far a policy has come from the initial one, where no penalty measures it anyway."""

from collections.abc import Sequence

import torch

from models.grammar import Grammar
from models.omni import OmniModel
from services.trainer.algorithms.kl import k3
from services.trainer.learning.groups import PromptGroup
from services.trainer.learning.likelihood import group_likelihood
from services.trainer.learning.packing import pack

_MAX_GROUPS = 8


@torch.no_grad()
def sampled_kl(
    reference: OmniModel, grammar: Grammar, groups: Sequence[PromptGroup], temperature: float
) -> float:
    """Nats per token of KL(sampler‖reference), by k3 on the samples of a few groups."""
    packed = pack(groups[:: max(1, len(groups) // _MAX_GROUPS)], grammar)
    at_reference = group_likelihood(reference, grammar, packed, temperature)
    kl_BT = k3(packed.sampler_logprobs_BT, at_reference.logprobs_BT)
    return float(kl_BT[packed.mask_BT].mean())
