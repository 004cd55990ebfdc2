"""The engine on the fused kernels, on CUDA or in Triton's interpreter, against the CPU path."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from services.policy.engine.request import OutputMode
from tests.support.engine_parity import assert_same_samples, groups_of_all_kinds
from tests.unit.policy.tiny_policy import (
    VOCAB_SIZE,
    generate,
    make_group,
    make_preprocessor,
    make_served,
    question,
    running_engine,
)


@pytest.fixture(scope="module")
def served():
    return make_served(make_preprocessor())


def on_device(served, device, dtype):
    from services.policy.engine.cuda.weights import cuda_weights

    weights = cuda_weights(served.model, device, dtype)
    return replace(served, weights=weights, text_bias_2V=served.text_bias_2V.to(device))


def answers(served, groups):
    with running_engine() as engine:
        samples = generate(engine, served, groups)
        assert not engine._observer.errors
        return samples


def test_a_few_requests_get_the_tokens_and_logprobs_of_the_cpu_path(served, device):
    """As many as the interpreter can do in seconds."""
    codes = {"output": OutputMode.AUTO, "max_tokens": 3, "guidance_scale": 3.0}
    group = make_group(served, index=2, **codes)
    drawing = served.preprocessor.encode(question("draw"), begin_image=True)
    groups = [
        make_group(served, "what?", 1, 2, 0, max_tokens=3, ignore_eos=True),
        make_group(served, "no", None, 1, 1, max_tokens=2, top_k=9, top_p=0.8),
        replace(group, prompt=drawing),
    ]
    got = answers(on_device(served, device, torch.float32), groups)
    assert got[-1].token_ids_T.min() >= VOCAB_SIZE
    assert_same_samples(got, answers(served, groups), within=1e-4)


@pytest.mark.gpu
def test_requests_of_every_kind_get_the_tokens_and_logprobs_of_the_cpu_path(served, cuda):
    groups = groups_of_all_kinds(served)
    got = answers(on_device(served, cuda, torch.float32), groups)
    assert_same_samples(got, answers(served, groups), within=1e-4)


@pytest.mark.gpu
def test_bfloat16_stays_near_the_cpu_path(served, cuda, record_property):
    group = make_group(served, "what?", 1, 4, 0, max_tokens=1, ignore_eos=True)
    got = answers(on_device(served, cuda, torch.bfloat16), [group])
    differences = [
        np.abs(ours.logprobs_T - theirs.logprobs_T).max()
        for ours, theirs in zip(got, answers(served, [group]), strict=True)
        if np.array_equal(ours.token_ids_T, theirs.token_ids_T)
    ]
    record_property("largest_difference", float(max(differences, default=np.nan)))
    print(f"bfloat16: {len(differences)} of 4 first tokens equal, logprobs within {differences}")
    assert differences
    assert max(differences) < 0.2
