"""Lower precisions of the weights: near enough for the shipped base, refused where they are not."""

import pytest
import torch

from models import checkpoint
from models.omni import OmniModel
from services.policy.config import PolicyConfig
from services.policy.engine.native.executor import NativeWeights
from services.policy.engine.native.packed import Precision
from services.policy.engine.placement import Placement, weights_of
from services.policy.engine.precision_gate import PrecisionError, measure_difference
from tests.unit.policy.tiny_policy import make_model


@pytest.fixture(scope="module")
def base() -> OmniModel:
    return checkpoint.load(PolicyConfig().base_checkpoint).model


def difference(model: OmniModel, precision: Precision) -> float:
    return measure_difference(model, NativeWeights(model, precision)).mean


def test_the_lower_the_precision_the_larger_the_difference(base: OmniModel) -> None:
    exact, half, byte = (difference(base, precision) for precision in Precision)
    assert abs(exact) < 1e-8
    assert exact < half < byte


@pytest.mark.parametrize("precision", [Precision.BFLOAT16, Precision.INT8])
def test_the_shipped_base_runs_in_lower_precisions(base: OmniModel, precision: Precision) -> None:
    weights = weights_of(base, Placement(precision=precision))
    assert isinstance(weights, NativeWeights)
    assert weights.precision is precision


def test_weights_that_a_byte_cannot_hold_are_refused_with_figures() -> None:
    model = make_model()
    with torch.no_grad():
        for layer in model.language_model.layers:
            layer.mlp.down_proj.weight[:, 0] *= 300  # one column sets the scale of all
            layer.self_attn.o_proj.weight[:, 0] *= 300
    with pytest.raises(PrecisionError, match=r"in int8 change the model: .* nats on average"):
        weights_of(model, Placement(precision=Precision.INT8))
    assert weights_of(model, Placement()) is not None
