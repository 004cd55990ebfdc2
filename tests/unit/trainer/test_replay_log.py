"""Segments: whole or not there, and what is learned from them."""

import numpy as np
import pytest

from models.preprocessing.conversation import Picture
from models.preprocessing.images import content_sha256
from protos.v1 import reward_model_pb2, trajectory_pb2
from services.common.errors import DataLoss, FailedPrecondition
from services.trainer.consumption import best_answers, scored_groups
from services.trainer.learning.plan import Minibatch, UpdatePlan
from services.trainer.replay_log import ReplayLog, Segment, SegmentHeader
from tests.support.pictures import png

SCORED = reward_model_pb2.SCORE_STATUS_SCORED


def sample(name, ids=(20, 21), finish=trajectory_pb2.FINISH_REASON_STOP, **fields):
    logprobs = [-1.0] * len(ids)
    return trajectory_pb2.Sample(
        sample_id=name, token_ids=ids, logprobs=logprobs, finish_reason=finish, **fields
    )


def score(name, reward=1.0, status=SCORED):
    fields = {} if reward is None else {"reward": reward}
    return reward_model_pb2.Score(item_id=name, status=status, **fields)


def group(checkpoint, *samples, picture=None):
    media = [content_sha256(picture)] if picture else []
    return trajectory_pb2.Group(
        group_id="g",
        samples=samples,
        prompt_token_ids=[1, 3],
        media_sha256=media,
        preprocessing_fingerprint=checkpoint.preprocessor.fingerprint,
    )


def segment(checkpoint, step=1):
    plan = UpdatePlan(
        minibatches=(Minibatch(members=(0,), microbatches=((0,),)),), epochs=((0,), (0,))
    )
    header = SegmentHeader(
        step=step, random_seed="0-1", fingerprint="f", policy_version="policy-1", tasks=("vqa",),
        plan=plan,
    )  # fmt: skip
    picture = png()
    return Segment(
        header,
        (group(checkpoint, sample("a"), sample("b"), picture=picture),),
        {"a": score("a"), "b": score("b", None, reward_model_pb2.SCORE_STATUS_TIMEOUT)},
        {content_sha256(picture): Picture(picture)},
    )


def test_a_segment_comes_back_as_it_was(tmp_path, checkpoint):
    log, written = ReplayLog(tmp_path / "replay"), segment(checkpoint)
    log.append(written)
    found = log.read(1)
    assert found.header == written.header
    assert found.groups == written.groups
    assert found.scores == written.scores
    assert found.media == written.media


def test_segments_follow_a_checkpoint_in_order(tmp_path, checkpoint):
    log = ReplayLog(tmp_path)
    for step in (2, 1, 11, 3):
        log.append(segment(checkpoint, step))
    assert log.steps() == [1, 2, 3, 11]
    assert [s.header.step for s in log.after(2)] == [3, 11]


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-1], lambda b: b[:40] + b"x" + b[41:], lambda b: b""]
)
def test_a_damaged_or_missing_segment_is_data_loss(tmp_path, checkpoint, damage):
    log = ReplayLog(tmp_path)
    log.append(segment(checkpoint))
    (path,) = tmp_path.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataLoss, match="does not match its digest"):
        log.read(1)
    with pytest.raises(DataLoss, match="cannot be replayed past step 1"):
        log.read(2)


@pytest.mark.parametrize("status", ["FAILED", "TIMEOUT", "ABSTAIN", "REJECTED"])
def test_what_is_not_scored_is_dropped_and_never_zero(checkpoint, status):
    value = reward_model_pb2.ScoreStatus.Value(f"SCORE_STATUS_{status}")
    asked = group(checkpoint, *(sample(name) for name in "abc"))
    scores = {"a": score("a", 1.0), "b": score("b", 0.5), "c": score("c", None, value)}
    consumed = scored_groups([asked], scores, {}, checkpoint.preprocessor)
    assert [answer.reward for answer in consumed.groups[0].answers] == [1.0, 0.5]
    assert consumed.dropped == {status: 1}


def test_samples_that_failed_or_were_never_answered_are_dropped(checkpoint):
    failed = sample("b", finish=trajectory_pb2.FINISH_REASON_FAILED)
    asked = group(checkpoint, sample("a"), failed, sample("c"), sample("d", ids=()), sample("e"))
    scores = {name: score(name) for name in "abde"} | {"e": score("e", float("nan"))}
    consumed = scored_groups([asked], scores, {}, checkpoint.preprocessor)
    assert consumed.groups == (), "one valid answer is no group"
    assert dict(consumed.dropped) == {
        "NOT_SAMPLED": 2, "NOT_ANSWERED": 1, "FAILED": 1, "GROUP_TOO_SMALL": 1,
    }  # fmt: skip


def test_the_first_of_the_best_answers_is_imitated(checkpoint):
    asked = group(
        checkpoint, sample("a", ids=(20,)), sample("b", ids=(21,)), sample("c", ids=(22,))
    )
    scores = {"a": score("a", 0.1), "b": score("b", 0.9), "c": score("c", 0.9)}
    consumed = best_answers(scored_groups([asked], scores, {}, checkpoint.preprocessor))
    (answer,) = consumed.groups[0].answers
    assert answer.token_ids_T.tolist() == [21]


def test_pictures_come_back_as_tiles_and_supports_as_ids(checkpoint):
    picture = png()
    support = [trajectory_pb2.Support(ids=[20, 25]), trajectory_pb2.Support()]
    asked = group(checkpoint, sample("a", support=support), sample("b"), picture=picture)
    scores = {name: score(name) for name in "ab"}
    media = {content_sha256(picture): Picture(picture)}
    (found,) = scored_groups([asked], scores, media, checkpoint.preprocessor).groups
    assert found.media.tiles_NSS3.shape == (1, 32, 32, 3)
    first, second = found.answers[0].supports
    assert np.array_equal(first, [20, 25])
    assert second is None
    assert found.answers[1].supports == ()


def test_ids_of_another_preprocessing_are_refused(checkpoint):
    other = group(checkpoint, sample("a"), sample("b"))
    other.preprocessing_fingerprint = "other"
    with pytest.raises(FailedPrecondition, match="its ids mean something else"):
        scored_groups([other], {n: score(n) for n in "ab"}, {}, checkpoint.preprocessor)
