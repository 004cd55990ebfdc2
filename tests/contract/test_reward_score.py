"""Score over real gRPC: every kind of scorer, order, batching, determinism, timing, metrics."""

import asyncio
import math

import pytest

from protos.v1 import content_pb2, versions_pb2
from protos.v1 import reward_model_pb2 as pb
from services.common.world.families.exercise import FAMILIES
from services.reward.scorers.program import PROGRAMS
from tests.contract.reward_service import (
    ABSTAIN,
    FAILED,
    REJECTED,
    SCORED,
    Reward,
    item_to_proto,
    refusal,
    running_reward,
    world_item,
)
from tests.unit.reward.tiny_reward import (
    CALIBRATION,
    item,
    make_preprocessor,
    picture,
    various_items,
)


@pytest.fixture
async def reward(tmp_path):
    async with running_reward(tmp_path) as reward:
        yield reward


@pytest.fixture
async def model(reward: Reward) -> str:
    return await reward.load(version=reward.put_version())


def various(count: int) -> list[pb.ScoreItem]:
    return [item_to_proto(one) for one in various_items(count)]


def rewards(answer: pb.ScoreResponse) -> list[float]:
    return [score.reward for score in answer.scores]


async def test_a_reward_model_scores_n_items_in_order(reward: Reward, model: str) -> None:
    items = various(30)
    answer = await reward.score(model, items)
    assert answer.reward_version == model
    assert answer.comparability == pb.COMPARABILITY_WITHIN_PROMPT
    assert [s.item_id for s in answer.scores] == [i.item_id for i in items]
    assert {(s.status, s.reward_version, s.error) for s in answer.scores} == {(SCORED, model, "")}
    alone = [await reward.score(model, [one]) for one in items[:6]]
    assert rewards(answer)[:6] == pytest.approx([rewards(one)[0] for one in alone], abs=1e-5)
    assert len(set(rewards(answer))) == 30


async def test_rewards_are_calibrated_and_come_with_their_spread(
    reward: Reward, model: str
) -> None:
    [score] = (await reward.score(model, various(1))).scores
    assert score.reward == pytest.approx((score.reward_raw - CALIBRATION.mean) / CALIBRATION.std)
    assert score.std > 0
    assert 0 < score.acceptability < 1


async def test_a_thousand_items_in_one_call_come_back_in_order(reward: Reward, model: str) -> None:
    items = [item_to_proto(item(f"answer {i}", index=i)) for i in range(1000)]
    answer = await reward.score(model, items)
    assert [s.item_id for s in answer.scores] == [f"item-{i}" for i in range(1000)]
    assert all(s.status == SCORED for s in answer.scores)
    some = [0, 63, 64, 500, 999]
    again = await reward.score(model, [items[i] for i in some])
    assert rewards(again) == pytest.approx([answer.scores[i].reward for i in some], abs=1e-5)


async def test_mixed_failures_stay_in_their_places(reward: Reward, model: str) -> None:
    good = various(4)
    truncated = item_to_proto(item(picture()[:100], index=90))
    empty_part = pb.ScoreItem(item_id="empty part", prompt=good[0].prompt, answer=good[0].answer)
    empty_part.answer.parts.add()
    no_answer = pb.ScoreItem(item_id="no answer", prompt=good[0].prompt)
    long = item_to_proto(item("long " * 400, index=91))
    items = [truncated, good[0], empty_part, good[1], good[2], no_answer, long, good[3]]
    answer = await reward.score(model, items)
    assert [s.item_id for s in answer.scores] == [i.item_id for i in items]
    assert [s.status == SCORED for s in answer.scores] == [
        *(False, True, False, True, True, False, False, True)
    ]
    for score in answer.scores:
        assert score.HasField("reward") == (score.status == SCORED)
        assert bool(score.error) == (score.status == REJECTED)
    alone = await reward.score(model, good)
    together = [s.reward for s in answer.scores if s.status == SCORED]
    assert together == pytest.approx(rewards(alone), abs=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
async def test_the_worlds_checkers_score_each_family(reward: Reward, family: str) -> None:
    items = [world_item(family, index) for index in range(3)]
    answer = await reward.score("program/world", items, want=pb.ScoreOutputs(subscores=True))
    assert answer.comparability == pb.COMPARABILITY_GLOBAL
    for score in answer.scores:
        assert score.status == SCORED
        assert score.reward > 0.9
        assert score.subscores["strict"] == 1.0


async def test_optional_outputs_come_only_when_wanted(reward: Reward) -> None:
    [score] = (await reward.score("program/world", [world_item("vqa")])).scores
    assert not score.subscores


async def test_an_empty_call_is_answered_with_no_scores(reward: Reward, model: str) -> None:
    for name in (model, "program/world"):
        answer = await reward.score(name, [])
        assert (answer.reward_version, list(answer.scores)) == (name, [])


async def test_concurrent_calls_share_batches(reward: Reward, model: str) -> None:
    before = reward.metric("attune_reward_batch_rows_count", model=model)
    same_length = [item_to_proto(item("same", index=i)) for i in range(40)]
    answers = await asyncio.gather(*(reward.score(model, [one]) for one in same_length))
    batches = reward.metric("attune_reward_batch_rows_count", model=model) - before
    assert batches < 20
    together = await reward.score(model, same_length)
    assert [rewards(a)[0] for a in answers] == pytest.approx(rewards(together), abs=1e-5)


async def test_a_deterministic_call_gives_the_same_bits_whatever_else_runs(
    reward: Reward, model: str
) -> None:
    items = various(24)
    alone = await reward.score(model, items, deterministic=True)
    others = [reward.score(model, various(n)) for n in (3, 11, 24)]
    busy, *_ = await asyncio.gather(reward.score(model, items, deterministic=True), *others)
    assert rewards(busy) == rewards(alone)


async def test_sampled_text_tokens_score_as_their_text(reward: Reward, model: str) -> None:
    preprocessor = make_preprocessor()
    text = item_to_proto(item("a red circle"))
    tokens = item_to_proto(item("a red circle"))
    special = preprocessor.tokenizer.special
    ids = [*preprocessor.tokenizer.encode("a red circle"), special.end]
    tokens.answer.parts[0].tokens.ids.extend(ids)
    tokens.answer.parts[0].tokens.preprocessing_fingerprint = preprocessor.fingerprint
    answer = await reward.score(model, [text, tokens], deterministic=True)
    assert rewards(answer)[0] == pytest.approx(rewards(answer)[1], abs=1e-6)


async def test_image_codes_are_refused_with_what_to_send(reward: Reward, model: str) -> None:
    preprocessor = make_preprocessor()
    codes = item_to_proto(item())
    codes.answer.parts[0].tokens.ids.append(preprocessor.tokenizer.vocab_size + 5)
    codes.answer.parts[0].tokens.preprocessing_fingerprint = preprocessor.fingerprint
    [score] = (await reward.score(model, [codes])).scores
    assert score.status == REJECTED
    assert "send the picture itself" in score.error


async def test_a_users_scorer_scores_abstains_and_fails_by_item(reward: Reward) -> None:
    name = await reward.load_user(
        "def score(item):\n"
        "    text = item['answer_text']\n"
        "    print('noise')\n"
        "    return None if text == 'skip' else {'reward': float(text), 'rationale': 'read'}\n"
    )
    assert name.startswith("user/mine.score@")
    items = [item_to_proto(item(text)) for text in ("0.5", "skip", "not a number", "-2", "nan")]
    answer = await reward.score(name, items, want=pb.ScoreOutputs(rationale=True))
    assert [s.status for s in answer.scores] == [SCORED, ABSTAIN, FAILED, SCORED, FAILED]
    assert (answer.scores[0].reward, answer.scores[3].reward) == (0.5, -2.0)
    assert answer.scores[0].rationale == "read"
    assert "could not convert string to float" in answer.scores[2].error


async def test_a_blend_weighs_programs_models_and_users(reward: Reward, model: str) -> None:
    user = await reward.load_user("def score(item): return len(item['answer_text'])")
    terms = [
        pb.BlendTerm(model=versions_pb2.ModelRef(version="program/exact"), weight=2.0),
        pb.BlendTerm(model=versions_pb2.ModelRef(version=model), weight=0.5),
        pb.BlendTerm(model=versions_pb2.ModelRef(version=user), weight=-0.1),
    ]
    name = await reward.load(blend=pb.Blend(terms=terms))
    items = [
        item_to_proto(item("red", reference_json='{"answer": "red"}')),
        item_to_proto(item("red")),  # no reference: one term rejects it
    ]
    answer = await reward.score(name, items, want=pb.ScoreOutputs(subscores=True))
    [raw] = (await reward.score(model, items[:1])).scores
    good, bad = answer.scores
    assert good.reward == pytest.approx(2.0 + 0.5 * raw.reward - 0.3, abs=1e-5)
    assert good.subscores[user] == 3.0
    assert (bad.status, bad.HasField("reward")) == (REJECTED, False)
    assert "program/exact" in bad.error


async def test_the_timing_block_adds_up(reward: Reward, model: str) -> None:
    timing = (await reward.score(model, various(20))).timing
    parts = timing.preprocess_s + timing.queue_s + timing.compute_s
    assert timing.compute_s > 0
    assert timing.preprocess_s > 0
    assert parts <= timing.total_s * 1.05
    assert timing.prompt_tokens > 20


async def test_scores_are_counted_by_model_and_status(reward: Reward, model: str) -> None:
    broken = item_to_proto(item(picture()[:50]))
    await reward.score(model, [*various(3), broken])
    count = "attune_reward_scores_total"
    assert reward.metric(count, model=model, status="scored") == 3
    assert reward.metric(count, model=model, status="rejected") == 1
    assert reward.metric("attune_reward_score_count", model=model) == 3
    assert reward.metric("attune_reward_resident_models", scorer="onnx") == 1
    assert reward.metric("attune_reward_resident_models", scorer="program") == len(PROGRAMS)
    assert reward.metric("attune_reward_queued_rows", model=model) == 0
    assert math.isfinite(reward.metric("attune_reward_padding_ratio_sum", model=model))


async def test_prompt_pictures_matter(reward: Reward, model: str) -> None:
    first, second = item_to_proto(item(index=1)), item_to_proto(item(index=2))
    one, two = rewards(await reward.score(model, [first, second]))
    assert one != two
    drawn = [item_to_proto(item(picture(seed))) for seed in (3, 4)]
    assert len(set(rewards(await reward.score(model, drawn)))) == 2


async def test_answers_of_the_wrong_role_are_rejected(reward: Reward, model: str) -> None:
    wrong = item_to_proto(item())
    wrong.answer.role = content_pb2.ROLE_SYSTEM
    [score] = (await reward.score(model, [wrong])).scores
    assert (score.status, "expected assistant" in score.error) == (REJECTED, True)


async def test_a_score_that_is_known_is_not_computed_again(reward: Reward, model: str) -> None:
    items = various(12)
    first = rewards(await reward.score(model, items))
    again = rewards(await reward.score(model, [*items[6:], *items[:6]]))
    assert [*again[6:], *again[:6]] == first
    assert reward.metric("attune_reward_reused_total", model=model, how="known") == 12
    assert reward.metric("attune_reward_batch_rows_sum", model=model) == 12
    fixed = rewards(await reward.score(model, items, deterministic=True))
    assert fixed == pytest.approx(first, abs=1e-5)
    assert reward.metric("attune_reward_batch_rows_sum", model=model) == 24


async def test_the_same_item_in_two_calls_is_computed_once(reward: Reward, model: str) -> None:
    [one] = various(1)
    calls = [reward.score(model, [one, one]) for _ in range(8)]
    answers = await asyncio.gather(*calls)
    assert len({reward for answer in answers for reward in rewards(answer)}) == 1
    assert reward.metric("attune_reward_batch_rows_sum", model=model) == 1


async def test_an_ensemble_takes_its_rule_from_the_blend(reward: Reward, model: str) -> None:
    refs = [versions_pb2.ModelRef(version=name) for name in ("program/exact", model)]
    terms = [pb.BlendTerm(model=ref, weight=1.0) for ref in refs]
    items = [item_to_proto(item("red", reference_json='{"answer": "red"}'))]
    [raw] = (await reward.score(model, items)).scores
    worst = await reward.load(blend=pb.Blend(terms=terms, aggregation=pb.AGGREGATION_MIN))
    [score] = (await reward.score(worst, items)).scores
    assert score.reward == pytest.approx(min(1.0, raw.reward))
    assert score.std == pytest.approx(abs(1.0 - raw.reward) / 2**0.5, abs=1e-5)
    blend = pb.Blend(terms=terms, aggregation=pb.AGGREGATION_MIN, std_weight=1.0)
    error = await refusal(reward.load(blend=blend))
    assert (error.code.name, "std_weight" in str(error)) == ("INVALID_ARGUMENT", True)
