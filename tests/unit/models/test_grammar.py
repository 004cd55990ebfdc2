import pytest
import torch

from models.checkpoint import Checkpoint
from models.grammar import Grammar, Kind


@pytest.fixture
def grammar(checkpoint: Checkpoint) -> Grammar:
    return checkpoint.grammar


def test_only_text_and_end_may_be_sampled_as_text(grammar: Grammar) -> None:
    mask_V = grammar.text_mask_V(allow_image=False)
    refused = set((~mask_V).nonzero().flatten().tolist())
    assert refused == grammar.special.ids() - {grammar.special.end}


def test_begin_of_image_may_be_sampled_only_where_images_are_allowed(grammar: Grammar) -> None:
    changed = grammar.text_mask_V(allow_image=True) != grammar.text_mask_V(allow_image=False)
    assert changed.nonzero().flatten().tolist() == [grammar.special.begin_of_image]


def test_an_image_is_exactly_its_codes_and_a_forced_end(grammar: Grammar) -> None:
    ids = [20, grammar.special.begin_of_image]
    for _ in range(grammar.codes_per_image):
        assert grammar.next_kind(ids) is Kind.CODE
        ids.append(grammar.vocab_size + 1)
    assert grammar.next_kind(ids) is Kind.END_OF_IMAGE
    assert grammar.next_kind([*ids, grammar.special.end_of_image]) is Kind.TEXT


def test_text_follows_text_and_nothing(grammar: Grammar) -> None:
    assert grammar.next_kind([]) is Kind.TEXT
    assert grammar.next_kind([20, 21]) is Kind.TEXT


def test_kinds_of_a_finished_answer_follow_from_its_ids(grammar: Grammar) -> None:
    special = grammar.special
    targets = torch.tensor([20, special.begin_of_image, grammar.vocab_size, special.end_of_image])
    assert grammar.kinds(targets).tolist() == [Kind.TEXT, Kind.TEXT, Kind.CODE, Kind.END_OF_IMAGE]


def test_a_whole_answer_with_an_image_passes_the_check(grammar: Grammar) -> None:
    codes = [grammar.vocab_size] * grammar.codes_per_image
    special = grammar.special
    grammar.check([20], [21, special.begin_of_image, *codes, special.end_of_image, special.end])


def test_a_code_out_of_place_is_named(grammar: Grammar) -> None:
    with pytest.raises(ValueError, match="at 1: expected TEXT"):
        grammar.check([20], [21, grammar.vocab_size])


def test_text_within_an_image_is_named(grammar: Grammar) -> None:
    with pytest.raises(ValueError, match="at 0: expected CODE"):
        grammar.check([grammar.special.begin_of_image], [21])


def test_a_placeholder_in_an_answer_is_named(grammar: Grammar) -> None:
    with pytest.raises(ValueError, match=f"id {grammar.special.image} at 0: expected TEXT"):
        grammar.check([20], [grammar.special.image])
