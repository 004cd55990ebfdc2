import tomllib
from collections import Counter

import pytest

from protos.v1 import content_pb2, judgement_pb2, trajectory_pb2
from services.cli.evaluation.sampling import Answer
from services.cli.evaluation.tasks import world_task
from services.cli.experiments.collection import JudgedItem, to_proto
from services.cli.experiments.demo.settings import CollectionSettings, DemoSettings
from services.cli.experiments.demo.tasks import tasks_to_judge
from services.cli.experiments.pairs import JudgedPair, pair_accuracy
from services.cli.experiments.raters import decided_pairs, judge_items
from services.cli.experiments.stages import read_settings
from services.cli.runs.recipes import recipes_folder
from services.common.codecs import turn_to_proto


def _settings() -> DemoSettings:
    values = tomllib.loads((recipes_folder() / "demo.toml").read_text())
    values.pop("experiment")
    return read_settings(DemoSettings, values, "demo")


def _judged(count: int) -> list[JudgedItem]:
    """Items with four answers: two right ones, then what is asked of other items."""
    items = world_task(["vqa", "caption"], count, 2, 0, "train").items
    judged = []
    for place, item in enumerate(items):
        others = [items[(place + k) % len(items)].target for k in (0, 0, 1, 2)]
        answers = tuple(
            Answer(
                item,
                index,
                turn_to_proto(turn) if turn else content_pb2.Message(),
                1,
                "policy-1",
                trajectory_pb2.SamplingParams(),
                None,
            )
            for index, turn in enumerate(others)
        )
        judged.append(JudgedItem(f"demo/{item.item_id}", item, answers, "train"))
    return judged


def test_the_shipped_demo_fits_in_ten_minutes_and_scales_to_others():
    settings = _settings()
    assert settings.total_budget_s <= 600
    assert settings.scaled_to(20).total_budget_s == pytest.approx(1200, abs=1)
    with pytest.raises(ValueError, match="alone take"):
        settings.scaled_to(1)


def test_control_and_rl_get_the_same_time_whatever_the_scale():
    scaled = _settings().scaled_to(15)
    assert scaled.control.budget_s == scaled.policy.budget_s


def test_raters_never_see_held_out_items():
    for task in tasks_to_judge(_settings()).values():
        assert {item.split for item in task.items} <= {"train", "validation"}


def test_judgements_are_marked_as_simulated_and_say_which_side_was_which():
    items = _judged(20)
    judgements = list(judge_items(items, CollectionSettings(), seed=0))
    assert {j.rater_kind for j in judgements} == {judgement_pb2.RATER_KIND_SIMULATED}
    assert all(j.rater_id.startswith("simulated") for j in judgements)
    left = Counter(j.pair.shown_left_candidate_id == j.pair.first_candidate_id for j in judgements)
    assert 0.35 < left[True] / left.total() < 0.65
    assert len({j.idempotency_key for j in judgements}) == len(judgements)


def test_equal_answers_are_not_compared():
    for judgement in judge_items(_judged(10), CollectionSettings(), seed=0):
        ends = {c.rpartition("/")[2] for c in (judgement.pair.first_candidate_id,)}
        other = judgement.pair.second_candidate_id.rpartition("/")[2]
        assert ends | {other} != {"0", "1"}


def test_what_a_checker_needs_is_not_stored_with_the_items():
    stored = to_proto(_judged(3), "demo")
    assert all(not item.metadata for item in stored)
    assert all(len(item.candidates) == 4 for item in stored)


def test_right_answers_win_most_decided_pairs():
    items = _judged(50)
    judgements = list(judge_items(items, CollectionSettings(raters=3), seed=0))
    decided = decided_pairs(items, judgements)
    truth = {f"{i.item_id}/{k}": float(k < 2) for i in items for k in range(4)}
    accuracy = pair_accuracy(decided, truth)
    assert accuracy is not None
    assert accuracy.mean > 0.75


def test_pair_accuracy_counts_equal_scores_half_and_leaves_unscored_out():
    pairs = [JudgedPair("f", better, worse) for better, worse in ("ab", "ba", "ac", "ad")]
    estimate = pair_accuracy(pairs, {"a": 1.0, "b": 0.0, "c": 1.0, "d": None})
    assert estimate is not None
    assert (estimate.mean, estimate.count) == (0.5, 3)
