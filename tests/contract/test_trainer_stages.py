"""The stages besides policy: sft on right answers and on the best of n, reward, pretrain."""

import json
import sys
import uuid
from asyncio import create_subprocess_exec, subprocess

import pytest

from protos.v1 import feedback_log_pb2, judgement_pb2, reward_model_pb2
from protos.v1 import training_orchestrator_pb2 as pb
from protos.v1.versions_pb2 import ModelRef
from services.common.codecs import prompt_to_proto, turn_to_proto
from services.common.world.items import make_item
from services.trainer.replay_log import ReplayLog
from services.trainer.run_folder import RunFolder
from tests.support.training_stack import metrics_of, running_training

SFT_RECIPE = """
name = "imitate"
stage = "sft"
steps = 4
[data]
source = "world"
[rollout]
prompts_per_step = 8
[optimizer]
learning_rate = 3e-3
"""
BEST_OF_N = """
name = "control"
stage = "sft"
targets = "best_of_n"
steps = 2
epochs_per_step = 2
[data]
source = "world"
[rollout]
prompts_per_step = 4
samples_per_prompt = 3
sampling = { max_tokens = 12 }
[reward.user_scorer]
file = "scorer.py"
[publish]
alias = "control"
"""
REWARD_RECIPE = """
name = "judge"
stage = "reward"
steps = 12
items_per_step = 8
[data]
source = "feedback"
snapshot_id = "filled in"
[optimizer]
learning_rate = 3e-3
[loss]
length_nuisance = true
[holdout]
share = 0.25
every = 4
[publish]
alias = "judge"
"""
PRETRAIN_RECIPE = """
name = "from-nothing"
stage = "pretrain"
[pretrain]
threads = 1
checkpoint_every = 2
[pretrain.tokenizer]
vocab_size = 300
items_per_family = 20
[pretrain.picture_codes]
steps = 2
batch_size = 4
[pretrain.training]
items_per_step = { caption = 1, vqa = 1, align = 1, draw = 1 }
warmup_steps = 1
decay_steps = 1
max_stable_steps = 1
[pretrain.validation]
every = 2
loss_items = 4
score_items = 0
[pretrain.model]
decoder = { vocab_size = 300, width = 32, num_layers = 1, num_heads = 2, num_kv_heads = 1, head_size = 16, mlp_width = 32 }
vision = { stem_width = 8, width = 32, num_layers = 1, num_heads = 2, mlp_width = 32 }
vq = { channels = [8, 8, 8], norm_groups = 4 }
"""  # noqa: E501


@pytest.fixture
async def training(tmp_path):
    async with running_training(tmp_path) as services:
        yield services


async def replayed(run):
    """What replaying a run prints."""
    process = await create_subprocess_exec(
        *(sys.executable, "-m", "services.trainer.replay", run.run_id),
        *("--home", run.folder.removesuffix(f"/runs/{run.run_id}")),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    output, _ = await process.communicate()
    return json.loads(output)


async def test_sft_imitates_right_answers_of_text_and_pictures(training):
    run = await training.finish(SFT_RECIPE)
    assert run.state == pb.RUN_STATE_SUCCEEDED, run.error
    losses = [step["loss"] for step in metrics_of(await training.watch(run))]
    assert losses[-1] < losses[0]
    segment = ReplayLog(RunFolder(training.home / "runs" / run.run_id).replay).read(1)
    by_task = dict(zip(segment.header.tasks, segment.groups, strict=False))
    assert len(by_task["draw"].samples[0].token_ids) == 64 + 2
    assert (await replayed(run))["is_identical"]


async def test_best_of_n_samples_from_the_initial_policy_throughout(training):
    run = await training.finish(BEST_OF_N)
    assert run.state == pb.RUN_STATE_SUCCEEDED, run.error
    log = ReplayLog(RunFolder(training.home / "runs" / run.run_id).replay)
    first, second = log.read(1), log.read(2)
    assert first.header.policy_version == second.header.policy_version
    assert training.store.resolve("policy", "control") == run.latest_version
    assert run.latest_version != first.header.policy_version
    assert (await replayed(run))["is_identical"]


async def test_a_reward_model_is_trained_from_judgements_and_served(training):
    snapshot = await judged_snapshot(training, num_items=40)
    run = await training.finish(REWARD_RECIPE, data__snapshot_id=snapshot)
    assert run.state == pb.RUN_STATE_SUCCEEDED, run.error
    final = metrics_of(await training.watch(run))[-1]
    assert final["heldout_pairs"] > 0
    assert final["heldout_pair_accuracy_low"] <= final["heldout_pair_accuracy"]
    assert final["heldout_ties"] > 0

    stored = training.store.manifest("reward", run.latest_version)
    assert stored.metadata["snapshot"] == snapshot
    assert {file.name for file in stored.files} >= {"trunk.onnx", "vision.onnx", "config.json"}
    item = make_item("vqa", "heldout", 0)
    answer = reward_model_pb2.ScoreItem(
        item_id="a", prompt=prompt_to_proto(item.conversation), answer=turn_to_proto(item.target)
    )
    scored = await training.reward.Score(
        reward_model_pb2.ScoreRequest(model=ModelRef(alias="judge"), items=[answer])
    )
    assert scored.scores[0].status == reward_model_pb2.SCORE_STATUS_SCORED
    assert scored.reward_version == run.latest_version
    assert (await replayed(run))["is_identical"]


async def test_too_few_judgements_are_said(training):
    snapshot = await judged_snapshot(training, num_items=3)
    run = await training.finish(REWARD_RECIPE, data__snapshot_id=snapshot)
    assert run.state == pb.RUN_STATE_FAILED
    assert "Collect more judgements" in run.error


async def test_pretraining_makes_a_policy_out_of_nothing(training):
    run = await training.finish(PRETRAIN_RECIPE, publish__alias="fresh")
    assert run.state == pb.RUN_STATE_SUCCEEDED, run.error
    assert training.store.resolve("policy", "fresh") == run.latest_version


async def judged_snapshot(training, num_items):
    """Pairs of a right and a wrong answer, a fifth of them ties or both bad."""
    rows = [make_item("vqa", "train", i) for i in range(num_items)]
    items = [item_to_judge(i, row, rows[i - 1]) for i, row in enumerate(rows)]
    put = feedback_log_pb2.PutItemsRequest(request_id=uuid.uuid4().hex, items=items)
    await training.feedback.PutItems(put)
    judged = [judgement_of(i, item) for i, item in enumerate(items)]
    submit = feedback_log_pb2.SubmitJudgementsRequest(judgements=judged)
    receipts = (await training.feedback.SubmitJudgements(submit)).receipts
    assert not [receipt.error for receipt in receipts if receipt.error]
    query = feedback_log_pb2.SnapshotQuery(project="test")
    create = feedback_log_pb2.CreateSnapshotRequest(
        request_id=uuid.uuid4().hex, name="test", query=query
    )
    return (await training.feedback.CreateSnapshot(create)).snapshot_id


def item_to_judge(index, row, other):
    answers = [row.target, other.target]
    candidates = [
        feedback_log_pb2.Candidate(candidate_id=f"{index}/{n}", answer=turn_to_proto(answer))
        for n, answer in enumerate(answers)
    ]
    return feedback_log_pb2.Item(
        item_id=str(index),
        project="test",
        prompt=prompt_to_proto(row.conversation),
        candidates=candidates,
        task="vqa",
        split="train",
        group_key=f"key-{index // 2}",
    )


def judgement_of(index, item):
    outcomes = [judgement_pb2.PAIR_OUTCOME_FIRST] * 8
    outcomes += [judgement_pb2.PAIR_OUTCOME_TIE, judgement_pb2.PAIR_OUTCOME_BOTH_BAD]
    first, second = (candidate.candidate_id for candidate in item.candidates)
    return judgement_pb2.Judgement(
        idempotency_key=f"key-{index}",
        item_id=item.item_id,
        rater_id="rater-1",
        rater_kind=judgement_pb2.RATER_KIND_SIMULATED,
        pair=judgement_pb2.PairJudgement(
            first_candidate_id=first,
            second_candidate_id=second,
            outcome=outcomes[index % 10],
            shown_left_candidate_id=first if index % 3 else second,
        ),
    )
