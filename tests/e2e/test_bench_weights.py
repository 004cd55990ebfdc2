"""`attune bench weights` with a few publications of the small checkpoint; times are not judged."""

import json
import signal
import sys
import time
from contextlib import suppress
from subprocess import DEVNULL

import psutil
import pytest
import typer

from services.cli.bench.weights.command import WeightsBench, bench_weights
from services.cli.errors import UserError
from tests.support.processes import free_port_base

_DEADLINE_S = 60


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    path = tmp_path_factory.mktemp("figures") / "weights.json"
    asked = WeightsBench(
        size="5m", dtype="float32", rounds=1, updates=6, updates_size="5m",
        streams=2, followers=1, json=path, port_base=free_port_base(),
    )  # fmt: skip
    with suppress(typer.Exit):  # where this machine missed a figure
        bench_weights(asked)
    return json.loads(path.read_text())


def test_each_route_is_timed_beside_a_copy_and_a_hash(figures):
    published = figures["publications"]
    assert set(published["routes"]) == {"folder", "store", "stream"}
    assert len(published["reference_s"]) == 1
    for route in published["routes"].values():
        [live_s], [first_token_s] = route["live_s"], route["first_token_s"]
        assert first_token_s > live_s > 0
        assert route["live_ratio"] == live_s / published["reference_s"][0]


def test_no_call_is_lost_by_publications(figures):
    assert figures["updates"]["updates"] == 6
    for part in (figures["publications"], figures["updates"]):
        assert part["calls"]["failed"] == {}
        assert part["calls"]["unanswered"] == 0
        assert part["calls"]["begun"] >= 3


def test_what_was_measured_is_held_to_something(figures):
    assert len(figures["bars"]) == 5
    assert figures["bars"]["calls lost beside updates"]["is_met"]


def test_a_checkpoint_that_cannot_be_made_is_said(tmp_path):
    asked = WeightsBench("5m", "float99", 1, 0, "5m", 1, 0, None, free_port_base())
    with pytest.raises(UserError, match="could not be made"):
        bench_weights(asked)


def test_a_bench_that_is_terminated_leaves_no_service_behind():
    command = ["bench", "weights", "5m", "--rounds", "0", "--port-base", str(free_port_base())]
    bench = psutil.Popen([sys.executable, "-m", "services.cli", *command], stderr=DEVNULL)
    try:
        services = _policies_of(bench)
        bench.terminate()
        assert bench.wait(_DEADLINE_S) == 128 + signal.SIGTERM
    finally:
        with suppress(psutil.NoSuchProcess):
            bench.kill()
    gone, alive = psutil.wait_procs(services, _DEADLINE_S)
    assert gone
    assert not alive


def _policies_of(bench):
    deadline_s = time.monotonic() + _DEADLINE_S
    while not (found := [child for child in bench.children() if _is_policy(child)]):
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    return found


def _is_policy(process):
    with suppress(psutil.Error):  # of one that has ended meanwhile
        return "services.policy" in process.cmdline()
    return False
