import json
import os
import socket
import subprocess
import sys
import time

import psutil
import pytest

from services.cli.errors import UserError
from services.cli.stack.children import StackOptions, service_environment
from services.cli.stack.cores import divide_cores, thread_environment
from services.cli.stack.layout import layout_at, require_free_ports
from services.cli.stack.log_tail import log_tail
from services.cli.stack.state import ProcessRef, UpState, read_state, remove_state, write_state
from services.cli.stack.survey import duration_text
from services.common.readiness import check_health

_NAMES = ("policy", "reward", "trainer", "feedback", "gateway")


def test_policy_and_trainer_take_turns_on_all_cores_and_the_others_get_one():
    assert divide_cores(_NAMES, 8) == {
        "policy": 8,
        "trainer": 8,
        "reward": 1,
        "feedback": 1,
        "gateway": 1,
    }


def test_spinning_is_off_in_every_service():
    environment = thread_environment(2)
    assert environment["OMP_NUM_THREADS"] == "2"
    assert environment["OMP_WAIT_POLICY"] == "PASSIVE"
    assert environment["KMP_BLOCKTIME"] == "0"


def test_default_ports_are_those_of_the_plan(tmp_path):
    layout = layout_at(tmp_path)
    ports = {s.name: (s.port, s.metrics_port) for s in layout.services}
    assert ports == {
        "policy": (7001, 7101),
        "reward": (7002, 7102),
        "trainer": (7003, 7103),
        "feedback": (7004, 7104),
        "gateway": (8000, 8000),
    }


def test_a_port_in_use_is_named_with_its_service(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port}, which the policy service"):
            require_free_ports(layout_at(tmp_path, port - 1))


def test_a_service_is_told_where_it_and_the_others_are(tmp_path, monkeypatch):
    monkeypatch.setenv("ATTUNE_TRAINER_THREADS", "1")
    monkeypatch.setenv("ATTUNE_GATEWAY_HOST", "0.0.0.0")
    layout = layout_at(tmp_path, 9000)
    options = StackOptions(dict.fromkeys(_NAMES, 2), (tmp_path / "a", tmp_path / "b"))
    environment = service_environment(layout, layout["trainer"], options)
    assert environment["ATTUNE_TRAINER_PORT"] == "9003"
    assert environment["ATTUNE_TRAINER_METRICS_PORT"] == "9103"
    assert environment["ATTUNE_TRAINER_POLICY_ADDRESS"] == "127.0.0.1:9001"
    assert environment["ATTUNE_TRAINER_HOME"] == str(tmp_path)
    assert (
        environment["ATTUNE_TRAINER_USER_SCORER_ROOTS"] == f"{tmp_path}/a{os.pathsep}{tmp_path}/b"
    )
    assert "ATTUNE_TRAINER_THREADS" not in environment
    assert environment["ATTUNE_TRAINER_HOST"] == "127.0.0.1"
    assert "ATTUNE_GATEWAY_HOST" not in service_environment(layout, layout["gateway"], options)


def test_the_tail_of_a_log_is_its_last_lines(tmp_path):
    log = tmp_path / "x.log"
    log.write_text("".join(f"line {i}\n" for i in range(5000)))
    lines = log_tail(log).splitlines()
    assert lines[-1] == "line 4999"
    assert len(lines) == 12
    assert log_tail(log, since_byte=log.stat().st_size - 10).splitlines() == ["line 4999"]
    assert log_tail(tmp_path / "none.log") == ""


def test_json_in_a_log_is_made_readable(tmp_path):
    log = tmp_path / "x.log"
    entry = {"event": "rpc failed", "level": "error", "timestamp": "2026-11-24T01:02:03Z"}
    log.write_text(json.dumps(entry | {"method": "Score", "exception": "Traceback\n  boom"}))
    assert log_tail(log).splitlines() == [
        "01:02:03 error rpc failed method=Score",
        "Traceback",
        "  boom",
    ]


def test_nothing_that_listens_is_no_answer():
    assert check_health("127.0.0.1:1", "attune.v1.RewardModel") == "no answer"
    assert check_health("127.0.0.1:1", None) == "no answer"


def test_state_is_read_while_a_process_of_it_lives_and_not_after(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    ref = ProcessRef.of(child.pid)
    write_state(UpState(home=tmp_path, supervisor=ref, started_at_s=time.time(), services=()))
    state = read_state(tmp_path)
    assert state is not None
    assert state.is_watched
    child.communicate()
    assert read_state(tmp_path) is None
    remove_state(tmp_path)
    assert read_state(tmp_path) is None


def test_a_process_of_the_same_number_is_not_taken_for_the_one_that_was():
    mine = ProcessRef(pid=os.getpid(), created_at_s=psutil.Process().create_time() - 5)
    assert mine.find() is None


@pytest.mark.parametrize(
    ("seconds", "text"), [(5, "5s"), (90, "1m 30s"), (3720, "1h 2m"), (90_000, "1d 1h")]
)
def test_durations_read_easily(seconds, text):
    assert duration_text(seconds) == text
