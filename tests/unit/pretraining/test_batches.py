from collections import Counter

import numpy as np
import pytest
import torch

from models.checkpoint import Checkpoint, preprocessing_of
from models.omni import OmniModel
from models.preprocessing.prompt import Preprocessor
from services.common.world.checkers import check
from services.common.world.families.exercise import ALL_FAMILIES, Family
from services.trainer.pretraining.batches import (
    DRAW,
    batches_of,
    blank_prompts,
    collate,
    training_items,
)
from services.trainer.pretraining.config import PretrainConfig
from services.trainer.pretraining.language import train_tokenizer
from services.trainer.pretraining.learning import family_losses
from services.trainer.pretraining.sampling import sample
from services.trainer.pretraining.validation import answer_turn, items_of

LEVELS = (0.5, 0.5)
READ_FAMILIES: tuple[Family, ...] = ("caption", "vqa", "align")


def make_checkpoint(config: PretrainConfig) -> Checkpoint:
    preprocessor = Preprocessor(preprocessing_of(config.model), train_tokenizer(config.tokenizer))
    return Checkpoint(OmniModel(config.model), preprocessor)


def test_items_follow_from_seed_and_step_and_never_repeat() -> None:
    ids = [
        [item.item_id for item in training_items(0, LEVELS, step, READ_FAMILIES * 4)]
        for step in (0, 1, 0)
    ]
    assert ids[0] == ids[2]
    assert len({*ids[0], *ids[1]}) == 24


def test_a_share_of_answers_belongs_to_another_scene() -> None:
    families = (*READ_FAMILIES, DRAW) * 100
    right = training_items(0, LEVELS, 0, families)
    given = training_items(0, LEVELS, 0, families, wrong_answers=0.25)
    scores = [
        check(item.family, item.reference, wrong.target).score
        for item, wrong in zip(right, given, strict=True)
    ]
    assert all(
        (score == 1) == (item.target == wrong.target)
        for item, wrong, score in zip(right, given, scores, strict=True)
        if item.family in ("vqa", "align")
    )
    assert 50 < sum(score < 1 for score in scores) < 150
    kinds = [
        (item.reference.get("kind"), wrong.target_text)
        for item, wrong in zip(right, given, strict=True)
    ]
    assert all(text in ("yes", "no") for kind, text in kinds if kind == "exists")


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_processes_share_a_step_so_that_all_of_it_is_done_once(processes: int) -> None:
    wanted = {family: 2 + n for n, family in enumerate(ALL_FAMILIES)}
    shares = [batches_of(wanted, rank, processes) for rank in range(processes)]
    assert all(shares)
    assert Counter(f for share in shares for batch in share for f in batch) == wanted


def test_a_batch_holds_prompts_then_answers_then_padding(config: PretrainConfig) -> None:
    preprocessor = make_checkpoint(config).preprocessor
    special = preprocessor.tokenizer.special
    items = training_items(0, LEVELS, 0, READ_FAMILIES * 2)
    batch = collate(preprocessor, items, codes_per_image=64)
    for row, item in enumerate(items):
        prompt, length = batch.prompt_lengths_B[row], batch.lengths_B[row]
        answer = batch.token_ids_BL[row, prompt:length].tolist()
        assert answer == [*preprocessor.tokenizer.encode(item.target_text or ""), special.end]
        assert batch.token_ids_BL[row, prompt - 1] == special.assistant
        assert set(batch.token_ids_BL[row, length:].tolist()) <= {special.pad}
        assert np.array_equal(batch.media.tiles_NSS3[row], item.prompt_pixels)


def test_drawings_leave_room_for_their_codes(config: PretrainConfig) -> None:
    preprocessor = make_checkpoint(config).preprocessor
    batch = collate(preprocessor, training_items(0, LEVELS, 0, (DRAW,) * 2), codes_per_image=64)
    assert (batch.lengths_B - batch.prompt_lengths_B).tolist() == [66, 66]
    assert batch.media.tiles_NSS3.shape == (0, 32, 32, 3)
    assert batch.targets_NSS3.shape == (2, 32, 32, 3)


def test_a_share_of_prompts_is_blank_so_that_guidance_has_something_to_subtract(
    config: PretrainConfig,
) -> None:
    preprocessor = make_checkpoint(config).preprocessor
    special = preprocessor.tokenizer.special
    items = training_items(0, LEVELS, 0, (DRAW,) * 64)
    batch, untouched = (collate(preprocessor, items, codes_per_image=64) for _ in range(2))
    blank_prompts(batch, special, 0.25, "0-0")
    num_blank = 0
    rows = zip(batch.token_ids_BL, untouched.token_ids_BL, batch.prompt_lengths_B, strict=True)
    for row, before, length in rows:
        assert np.array_equal(row[length:], before[length:])
        if not np.array_equal(row, before):
            num_blank += 1
            kept = [special.bos, *[special.pad] * (length - 2), special.begin_of_image]
            assert row[:length].tolist() == kept
    assert 8 <= num_blank <= 24


def test_a_family_loses_the_mean_of_its_own_answer_tokens(config: PretrainConfig) -> None:
    checkpoint = make_checkpoint(config)
    items = training_items(0, LEVELS, 0, READ_FAMILIES * 2)

    def losses(chosen):
        batch = collate(checkpoint.preprocessor, chosen, 64)
        return family_losses(checkpoint.model, checkpoint.grammar, batch).by_family

    together = losses(items)
    assert list(together) == list(READ_FAMILIES)
    alone = losses([item for item in items if item.family == "vqa"])["vqa"]
    torch.testing.assert_close(together["vqa"], alone)


def test_the_sampler_repeats_itself_and_draws_whole_pictures(config: PretrainConfig) -> None:
    checkpoint = make_checkpoint(config)
    items = items_of("draw", "validation", 2, 3)
    prompts = [checkpoint.preprocessor.encode(item.conversation, True) for item in items]
    first, second = (
        sample(checkpoint, prompts, 65, 1.0, torch.Generator().manual_seed(4)) for _ in range(2)
    )
    assert first == second
    for prompt, answer in zip(prompts, first, strict=True):
        checkpoint.grammar.check(prompt.token_ids.tolist(), answer)
        assert len(answer_turn(checkpoint, answer).parts) == 1
