"""What `attune bench weights` and `attune bench soak` count, compare and are held to."""

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from protos.v1 import policy_generator_pb2 as pb
from protos.v1 import trajectory_pb2
from services.cli.bench.answers import what_is_wrong
from services.cli.bench.bars import Bar
from services.cli.bench.memory import memory_thirds
from services.cli.bench.soak.calls import all_kinds
from services.cli.bench.soak.variants import make_variants
from services.cli.bench.traffic import Gap, Traffic
from services.cli.bench.weights.reference import cold_copy_and_hash_s

STOP, FAILED = trajectory_pb2.FINISH_REASON_STOP, trajectory_pb2.FINISH_REASON_FAILED
DONE = pb.GenerateResponse(done=pb.GenerateDone())


def test_growth_is_the_last_third_beside_the_middle():
    thirds = memory_thirds([90 << 20, 10 << 20, 100 << 20, 100 << 20, 102 << 20, 104 << 20])
    assert (thirds.first, thirds.middle, thirds.last) == (50, 100, 103)
    assert thirds.growth == pytest.approx(0.03)


def test_a_bar_is_met_up_to_what_it_allows():
    assert Bar("lost", 0, 0).is_met
    assert not Bar("lost", 1, 0).is_met


def test_calls_without_an_end_are_unanswered():
    traffic = Traffic()
    for _ in range(4):
        traffic.begin()
    traffic.end("text", None)
    traffic.end("text", "refused")
    traffic.cancel()
    assert (traffic.num_answered, traffic.num_failed, traffic.num_unanswered) == (1, 1, 1)
    assert traffic.figures["failed"] == {"text: refused": 1}
    assert traffic.num_lost == 2


def test_the_longest_gap_is_of_those_that_touch_the_time():
    traffic = Traffic(gaps=[Gap(0, 5), Gap(5, 7), Gap(7, 8), Gap(8, 12)])
    assert traffic.longest_gap_s(6, 7.5) == 2
    assert traffic.longest_gap_s(20, 30) == 0
    assert traffic.gap_s(0.5) == 2


@pytest.mark.parametrize(
    ("events", "wrong"),
    [
        ([_finished := pb.GenerateResponse(finished={"finish_reason": STOP}), DONE], None),
        ([_finished], "the stream ended before it was done"),
        ([DONE], "0 of 1 samples came"),
        (
            [pb.GenerateResponse(finished={"finish_reason": FAILED, "error": "oh"}), DONE],
            "a sample ended badly: oh",
        ),
    ],
)
def test_an_answer_is_whole_or_it_is_said_what_is_wrong(events, wrong):
    assert what_is_wrong(events, 1) == wrong


def test_groups_count_all_their_samples():
    group = trajectory_pb2.Group(samples=[{"finish_reason": STOP}] * 2)
    done = pb.RolloutResponse(done=pb.RolloutDone())
    assert what_is_wrong([pb.RolloutResponse(group=group), done], 2) is None


def test_every_kind_of_call_is_a_request():
    rng = np.random.default_rng(0)
    kinds = all_kinds()
    assert {"picture", "clip, 2 s", "guided drawing", "groups", "form"} <= {k.name for k in kinds}
    for kind in kinds:
        assert kind.make(rng).request_id


def test_variants_differ_in_one_tensor(tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    tensors = {name: np.ones(4, np.float32) for name in ("language_model.norm.weight", "other")}
    save_file(tensors, base / "model.safetensors")
    first, second = (
        load_file(folder / "model.safetensors") for folder in make_variants(base, tmp_path, 2)
    )
    assert (first["other"] == second["other"]).all()
    assert (second["language_model.norm.weight"] > first["language_model.norm.weight"]).all()


def test_the_reference_leaves_nothing_behind(tmp_path):
    file = tmp_path / "weights"
    file.write_bytes(b"abc")
    assert cold_copy_and_hash_s([file], tmp_path / "scratch") > 0
    assert list(tmp_path.iterdir()) == [file]
