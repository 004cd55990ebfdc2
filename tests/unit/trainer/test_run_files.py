"""The files of a run: events, records, locks, checkpoints, and what a crash leaves of them."""

import subprocess
import sys

import pytest
import torch

from protos.v1 import training_orchestrator_pb2 as pb
from services.trainer.checkpoint import TrainingState, load_newest_state, save_state
from services.trainer.event_log import EventReader, EventWriter
from services.trainer.run_folder import RunFolder, RunRecord, RunState


def metrics(step):
    return pb.RunEvent(step=step, metrics=pb.StepMetrics(values={"loss": float(step)}))


def record(**fields):
    values = {"run_id": "r", "name": "n", "stage": "sft", "created_at_s": 1, "updated_at_s": 1}
    return RunRecord(**{**values, **fields})


def test_events_are_numbered_across_sessions(tmp_path):
    path = tmp_path / "events.bin"
    for step in (1, 2):
        with EventWriter(path) as writer:
            writer.append(metrics(step))
            assert writer.last_sequence == step
    with EventWriter(path) as writer:
        assert (writer.last_sequence, writer.last_metrics_step) == (2, 2)


def test_a_reader_sees_each_event_once_as_they_come(tmp_path):
    path = tmp_path / "events.bin"
    reader = EventReader(path)
    assert reader.read() == []
    with EventWriter(path) as writer:
        writer.append(metrics(1))
        assert [event.step for event in reader.read()] == [1]
        writer.append(metrics(2))
        assert [event.step for event in reader.read()] == [2]
        assert reader.read() == []
    assert [event.step for event in EventReader(path, after_sequence=1).read()] == [2]


@pytest.mark.parametrize("num_bytes", [1, 6, 20])
def test_what_a_dead_writer_left_unfinished_is_cut_off(tmp_path, num_bytes):
    path = tmp_path / "events.bin"
    with EventWriter(path) as writer:
        writer.append(metrics(1))
        size = path.stat().st_size
        writer.append(metrics(2))
    with path.open("r+b") as file:
        file.truncate(size + num_bytes)
    reader = EventReader(path)
    assert [event.step for event in reader.read()] == [1]
    with EventWriter(path) as writer:
        writer.append(metrics(3))
    assert [(event.step, event.sequence) for event in reader.read()] == [(3, 2)]


def test_a_running_run_that_was_asked_to_stop_is_stopping(tmp_path):
    folder = RunFolder(tmp_path)
    folder.write_record(record(state=RunState.RUNNING))
    assert folder.record().state is RunState.RUNNING
    folder.ask_to_stop(checkpoint=False)
    assert folder.record().state is RunState.STOPPING
    assert not folder.stop_wants_checkpoint()
    folder.forget_stop()
    assert folder.stop_wants_checkpoint()
    assert folder.record().state is RunState.RUNNING


def test_the_lock_names_its_holder_and_falls_with_it(tmp_path):
    folder = RunFolder(tmp_path)
    assert folder.holder() is None
    code = (
        "import sys; from pathlib import Path; from services.trainer.run_folder import RunFolder\n"
        f"with RunFolder(Path({str(tmp_path)!r})).locked(): print('held', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"held\n"
        assert folder.holder() == process.pid
        with pytest.raises(BlockingIOError), folder.locked():
            pass
        process.kill()
    assert folder.holder() is None


def state(step):
    return TrainingState(step, {"w": torch.full((2,), float(step))}, {"best": step / 2})


def test_the_newest_checkpoint_is_loaded_and_two_are_kept(tmp_path):
    assert load_newest_state(tmp_path) is None
    for step in (1, 2, 10):
        save_state(tmp_path, state(step))
    found = load_newest_state(tmp_path)
    assert (found.step, found.extra) == (10, {"best": 5.0})
    assert torch.equal(found.tensors["w"], torch.full((2,), 10.0))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000002", "step-00000010"]


def test_a_checkpoint_that_was_not_finished_is_passed_over(tmp_path):
    save_state(tmp_path, state(1))
    unfinished = tmp_path / ".step-00000002"
    unfinished.mkdir()
    (unfinished / "state.safetensors").write_bytes(b"half")
    assert load_newest_state(tmp_path).step == 1
    save_state(tmp_path, state(2))
    assert load_newest_state(tmp_path).step == 2
