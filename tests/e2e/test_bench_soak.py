"""`attune bench soak` for seconds: all is answered, nothing is held. Memory takes longer."""

import json
from contextlib import suppress

import pytest
import typer

from services.cli.bench.soak.command import SoakBench, bench_soak
from tests.support.processes import free_port_base


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    path = tmp_path_factory.mktemp("figures") / "soak.json"
    with suppress(typer.Exit):  # memory still grows in the first seconds
        bench_soak(SoakBench(1 / 3, 6, 2.0, path, free_port_base()))
    return json.loads(path.read_text())


def test_everything_asked_is_answered_or_was_cancelled(figures):
    assert figures["calls"]["failed"] == {}
    assert figures["calls"]["unanswered"] == 0
    assert sum(figures["calls"]["answered"].values()) > 0
    assert figures["updates"] > 0


def test_nothing_is_held_when_all_has_ended(figures):
    assert set(figures["held_after_drain"].values()) == {0.0}
    assert figures["step_errors"] == 0
    assert figures["tokens"] > 0


def test_the_memory_of_each_service_is_told(figures):
    assert {"policy", "reward", "trainer", "feedback", "gateway"} == set(figures["memory_mib"])
    assert all(each["last"] > 10 for each in figures["memory_mib"].values())
