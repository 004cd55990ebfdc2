"""A version as the engine holds it: the model, its grammar and its tokenizer, under its id."""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from models.checkpoint import Checkpoint
from models.grammar import Grammar
from models.omni import OmniModel
from models.preprocessing.prompt import Preprocessor
from services.policy.engine.executor import Weights
from services.policy.engine.model_ends import without_language_model
from services.policy.engine.placement import Placement, weights_of


@dataclass(frozen=True, slots=True, eq=False)
class ServedModel:
    """Immutable; shared by all that runs on the version. `model` is float32, CPU, eval mode;
    `weights` are where and as the version runs; `num_bytes` are of its parameters in float32."""

    version: str
    model: OmniModel
    grammar: Grammar
    preprocessor: Preprocessor
    weights: Weights = field(repr=False)
    # [2, V]: added to text logits; row 1 where the request allows images.
    text_bias_2V: Tensor = field(repr=False)
    num_bytes: int

    @property
    def context_tokens(self) -> int:
        """Prompt and answer together."""
        return self.model.config.decoder.max_length

    @property
    def tokens_per_image(self) -> int:
        """An image's codes and the end_of_image after them."""
        return self.grammar.codes_per_image + 1


def served_model(
    version: str, checkpoint: Checkpoint, placement: Placement = Placement()
) -> ServedModel:
    """Readies a checkpoint for generation."""
    model = checkpoint.model.eval().requires_grad_(False)
    masks_2V = [checkpoint.grammar.text_mask_V(allow_image=allowed) for allowed in (False, True)]
    is_forbidden_2V = ~torch.stack(masks_2V)
    bias_2V = torch.zeros(is_forbidden_2V.shape).masked_fill_(is_forbidden_2V, -torch.inf)
    weights = weights_of(model, placement)
    return ServedModel(
        version,
        model,
        checkpoint.grammar,
        checkpoint.preprocessor,
        weights,
        bias_2V.to(weights.device),
        sum(parameter.nbytes for parameter in model.parameters()),
    )


def without_definition(served: ServedModel) -> ServedModel:
    """The same, less what `weights` hold in a form of their own: of `model` there remain its
    configuration, the encoders and what draws pictures."""
    return replace(served, model=without_language_model(served.model))
