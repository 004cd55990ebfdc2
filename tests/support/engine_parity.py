"""Requests of every kind, and whether two ways to run the model answer them alike."""

import numpy as np

from services.policy.engine.request import Group, OutputMode, Sample
from services.policy.engine.served_model import ServedModel
from tests.unit.policy.tiny_policy import NUM_CODES, heard_and_seen, make_group


def groups_of_all_kinds(served: ServedModel) -> list[Group]:
    """Text, all media, images, guidance, truncation."""
    image: dict[str, object] = {"output": OutputMode.IMAGE, "max_tokens": NUM_CODES + 1}
    groups = [
        make_group(served, "what colour is it?", 1, 3, 0, max_tokens=30, ignore_eos=True),
        make_group(served, "a red circle " * 9, None, 2, 1, temperature=0.7, top_p=0.8),
        make_group(served, "what?", 2, 2, 2, temperature=0.0, max_tokens=20),
        make_group(served, "draw: yes", None, 2, 3, guidance_scale=3.0, **image),
        make_group(served, "draw: no", None, 1, 4, top_k=5, guidance_scale=2.0, **image),
    ]
    prompt = served.preprocessor.encode(heard_and_seen("what is it?", 1), False)
    return [*groups, Group(5, prompt, groups[0].sampling, 2)]


def assert_same_samples(got: list[Sample], wanted: list[Sample], within: float) -> None:
    """Equal tokens and supports; log-probabilities and kept mass as near as said."""
    for ours, theirs in zip(got, wanted, strict=True):
        assert np.array_equal(ours.token_ids_T, theirs.token_ids_T)
        np.testing.assert_allclose(ours.logprobs_T, theirs.logprobs_T, atol=within)
        np.testing.assert_allclose(ours.kept_mass_T, theirs.kept_mass_T, atol=within)
        for ids, their_ids in zip(ours.supports, theirs.supports, strict=True):
            assert np.array_equal(ids, their_ids)
