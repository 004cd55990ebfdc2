"""An evaluation whose items hold recordings and clips: answers, scores and the table."""

import json

from protos.v1.policy_generator_pb2_grpc import PolicyGeneratorStub
from protos.v1.reward_model_pb2_grpc import RewardModelStub
from services.cli.evaluation.report import card_figures
from services.cli.evaluation.sampling import SamplingChoice, sample_answers
from services.cli.evaluation.scorecard import Scorecard, model_ref
from services.cli.evaluation.scoring import score_answers, scorer_ref
from services.cli.evaluation.tasks import recipe_task
from services.common.client import sync_channel
from tests.support.sound_and_clips import moving_square, tone

RECIPE = """
name = "senses"
stage = "policy"
[data]
source = "jsonl"
path = "data.jsonl"
[reward]
version = "program/exact"
"""


def test_items_that_are_heard_and_watched_are_answered_and_scored(
    policy_service, reward_service, tmp_path
):
    (tmp_path / "said.wav").write_bytes(tone())
    (tmp_path / "moves.gif").write_bytes(moving_square())
    (tmp_path / "recipe.toml").write_text(RECIPE)
    media = [{"type": "audio", "path": "said.wav"}, {"type": "video", "path": "moves.gif"}]
    rows = [
        {
            "id": f"row-{part['type']}",
            "messages": [{"role": "user", "content": [part, {"type": "text", "text": "which?"}]}],
            "reference": {"answer": "the second"},
            "split": "heldout",
            "task": part["type"],
        }
        for part in media
    ]
    (tmp_path / "data.jsonl").write_text("\n".join(map(json.dumps, rows)))
    task = recipe_task(str(tmp_path / "recipe.toml"), 10)
    choice = SamplingChoice(temperature=1.0, seed=1)
    with (
        sync_channel(policy_service.address) as policy_channel,
        sync_channel(reward_service.address) as reward_channel,
    ):
        policy, reward = PolicyGeneratorStub(policy_channel), RewardModelStub(reward_channel)
        [answers] = sample_answers(policy, model_ref("stable"), task.items, 1, choice)
        heard, watched = score_answers(reward, scorer_ref(reward, task.scorer), answers)
    assert (heard.status, watched.status) == ("scored", "scored")
    card = Scorecard("stable", "policy-1", {"audio": [heard], "video": [watched]}, took_s=1.0)
    figures = card_figures(card)
    assert figures["families"].keys() == {"audio", "video"}
    assert figures["mean"]["scored"] == 2
