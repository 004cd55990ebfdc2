"""Learning from pairs: it finds what raters prefer, sheds their side bias, stops when done."""

from dataclasses import replace
from random import Random

import pytest
import torch

from models.preprocessing.conversation import Role, Text, Turn
from protos.v1 import content_pb2, feedback_log_pb2
from protos.v1 import judgement_pb2 as pb
from services.common.errors import FailedPrecondition
from services.trainer.algorithms.davidson import FIRST, SECOND, TIE
from services.trainer.judgements import judged_items, load_snapshot, save_snapshot
from services.trainer.learning.judged_items import (
    JudgedAnswer,
    JudgedItem,
    JudgedPair,
    cut_by_tokens,
    judged_batch,
)
from services.trainer.recipe import read_recipe
from services.trainer.reward_training import RewardTraining

RECIPE = """
name = "judge"
stage = "reward"
steps = 40
items_per_step = 16
data = { source = "feedback", snapshot_id = "s" }
optimizer = { learning_rate = 3e-3 }
holdout = { share = 0.2, every = 10, patience = 3 }
"""


def encoded(checkpoint, words):
    prompt = (Turn(Role.USER, (Text("what color"),)),)
    answer = Turn(Role.ASSISTANT, (Text(words),))
    return checkpoint.preprocessor.encode_with_answer(prompt, answer)


def items_about_red(checkpoint, count=80):
    """Raters like "red"; where neither or both is, they tie. The left side wins some ties."""
    rng, items = Random(0), []
    for index in range(count):
        words = [rng.choice(["red circle", "blue square", "green cross"]) for _ in range(2)]
        likes = [text.startswith("red") for text in words]
        left = rng.choice([1, -1])
        outcome = TIE if likes[0] == likes[1] else FIRST if likes[0] else SECOND
        if outcome == TIE and rng.random() < 0.6:
            outcome = FIRST if left == 1 else SECOND
        answers = tuple(JudgedAnswer(i, liked) for i, liked in enumerate(likes))
        sequences = tuple(encoded(checkpoint, text) for text in words)
        pair = JudgedPair(0, 1, outcome, left)
        items.append(JudgedItem(f"key-{index}", sequences, (pair,), answers))
    return items


def trained(checkpoint, items, **overrides):
    training = RewardTraining(read_recipe(RECIPE, overrides), checkpoint, items)
    while not training.is_done:
        training.take_step()
    return training


def test_it_learns_the_preference_and_fits_the_side_bias_apart(checkpoint):
    training = trained(checkpoint, items_about_red(checkpoint))
    assert training.model.side_bias.item() > 0.3
    training.finish()
    reward = training.model.reward
    scores = []
    for words in ("red circle", "blue square"):
        sequence = encoded(checkpoint, words)
        ids_1L = torch.from_numpy(sequence.token_ids)[None]
        rewards_1K, acceptability_1 = reward(ids_1L, torch.tensor([ids_1L.shape[1]]))
        scores.append((rewards_1K.mean().item(), acceptability_1.item()))
    assert scores[0][0] > scores[1][0] + 1
    assert scores[0][1] > 0 > scores[1][1]


def test_items_of_one_key_are_never_on_both_sides(checkpoint):
    items = [replace(item, group_key=f"key-{i // 4}") for i, item in enumerate(
        items_about_red(checkpoint))]  # fmt: skip
    training = RewardTraining(read_recipe(RECIPE), checkpoint, items)
    train, held_out = ({i.group_key for i in part} for part in (training.train, training.held_out))
    assert train
    assert held_out
    assert not train & held_out


def test_it_stops_when_held_out_pairs_get_no_better(checkpoint):
    rng = Random(1)
    noise = [
        replace(item, pairs=(replace(item.pairs[0], outcome=rng.choice([FIRST, SECOND])),))
        for item in items_about_red(checkpoint)
    ]
    overrides = {"steps": "1000", "holdout.every": "2", "optimizer.learning_rate": "1e-2"}
    training = RewardTraining(read_recipe(RECIPE, overrides), checkpoint, noise)
    while not training.is_done:
        training.take_step()
    assert training.step < 200


def test_a_restored_training_goes_on_bit_for_bit(checkpoint, tmp_path):
    import copy

    items, recipe = items_about_red(checkpoint), read_recipe(RECIPE)
    first = RewardTraining(recipe, copy.deepcopy(checkpoint), items)
    second = RewardTraining(recipe, copy.deepcopy(checkpoint), items)
    for _ in range(12):
        first.take_step()
    first.save(tmp_path)
    second.restore(tmp_path)
    for training in (first, second):
        while training.step < 22:
            training.take_step()
        training.finish()
    assert first.digest() == second.digest()


def test_how_items_are_cut_does_not_change_the_loss(checkpoint):
    items = items_about_red(checkpoint, 12)
    model = RewardTraining(read_recipe(RECIPE), checkpoint, items_about_red(checkpoint)).model
    whole = model.loss(judged_batch(items, 0), 12, 24)
    cuts = cut_by_tokens(items, max_tokens=60)
    assert len(cuts) > 2
    assert sorted(id(i) for cut in cuts for i in cut) == sorted(id(i) for i in items)
    shares = [model.loss(judged_batch(cut, 0), 12, 24) for cut in cuts]
    torch.testing.assert_close(sum(shares), whole)


def test_too_few_items_are_refused(checkpoint):
    with pytest.raises(FailedPrecondition, match="Collect more judgements"):
        RewardTraining(read_recipe(RECIPE), checkpoint, items_about_red(checkpoint, 4))


def judgement(outcome, left="a", **fields):
    return pb.Judgement(
        pair=pb.PairJudgement(
            first_candidate_id="a", second_candidate_id="b", outcome=outcome,
            shown_left_candidate_id=left, **fields,
        )
    )  # fmt: skip


def test_judgements_become_pairs_and_known_acceptability(checkpoint, tmp_path):
    text = content_pb2.Part(text="red")
    question = content_pb2.Message(role=content_pb2.ROLE_USER, parts=[text])
    answer = content_pb2.Message(role=content_pb2.ROLE_ASSISTANT, parts=[text])
    item = feedback_log_pb2.Item(
        item_id="i",
        prompt=content_pb2.Prompt(messages=[question]),
        candidates=[
            feedback_log_pb2.Candidate(candidate_id=name, answer=answer) for name in ("a", "b")
        ],
    )
    judgements = [
        judgement(pb.PAIR_OUTCOME_FIRST),
        judgement(pb.PAIR_OUTCOME_SECOND, left="b"),
        judgement(pb.PAIR_OUTCOME_TIE, left=""),
        judgement(pb.PAIR_OUTCOME_BOTH_BAD),
        judgement(pb.PAIR_OUTCOME_FIRST, dimension="style"),
        pb.Judgement(skip=pb.SkipJudgement(reason="unsure")),
    ]
    path = tmp_path / "snapshot.bin"
    save_snapshot(path, [feedback_log_pb2.SnapshotRecord(item=item, judgements=judgements)])
    (found,) = judged_items(load_snapshot(path), checkpoint.preprocessor)
    assert found.group_key == "i"
    assert found.pairs == (
        JudgedPair(0, 1, FIRST, 1), JudgedPair(0, 1, SECOND, -1),
        JudgedPair(0, 1, TIE, 0), JudgedPair(0, 1, TIE, 1),
    )  # fmt: skip
    assert found.answers == (
        JudgedAnswer(0, True), JudgedAnswer(1, True), JudgedAnswer(0, True),
        JudgedAnswer(1, True), JudgedAnswer(0, False), JudgedAnswer(1, False),
    )  # fmt: skip
