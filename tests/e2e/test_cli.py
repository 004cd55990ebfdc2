"""`attune` as a user types it, against the real services with the shipped base policy."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from PIL import Image

from services.common.world.families.exercise import FAMILIES
from tests.support.processes import free_port_base
from tests.support.sound_and_clips import moving_square, tone


@dataclass(frozen=True)
class Stack:
    """A set of services that is up."""

    home: Path
    port_base: int
    up_output: str

    def attune(
        self, *words: str, stdin: str | None = None, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        return _attune(*words, "--home", str(self.home), stdin=stdin, cwd=cwd)

    def status(self) -> dict:
        return json.loads(self.attune("status", "--json", "-").stdout)["services"]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    home, port_base = tmp_path_factory.mktemp("home"), free_port_base()
    folder = tmp_path_factory.getbasetemp()  # tasks below it may bring their own scorers
    place = ("--home", str(home))
    up = _attune("up", "--detach", *place, "--port-base", str(port_base), cwd=folder)
    assert up.returncode == 0, up.stderr
    try:
        yield Stack(home, port_base, up.stdout)
    finally:
        down = _attune("down", *place)
        assert "stopped" in down.stdout, down.stderr


def test_five_services_say_when_they_are_ready_and_where(stack):
    assert float(stack.up_output.partition("ready in ")[2].split()[0]) > 0
    assert f"http://127.0.0.1:{stack.port_base + 1000}" in stack.up_output


def test_status_shows_every_service_serving(stack):
    services = stack.status()
    assert set(services) == {"policy", "reward", "trainer", "feedback", "gateway"}
    assert {s["health"] for s in services.values()} == {"serving"}
    assert all(s["rss_bytes"] > 10_000_000 for s in services.values())
    assert services["policy"]["serves"].startswith("stable = policy-")
    table = stack.attune("status")
    assert table.returncode == 0
    assert "trainer" in table.stdout


def test_a_second_up_of_the_same_home_is_refused(stack):
    second = stack.attune("up", "--detach")
    assert second.returncode == 1
    assert "are up already" in second.stderr
    assert "Traceback" not in second.stderr


def test_ports_in_use_are_said_before_anything_starts(stack, tmp_path):
    other = _attune("up", "-d", "--home", str(tmp_path), "--port-base", str(stack.port_base))
    assert other.returncode == 1
    assert "is in use" in other.stderr


def test_eval_compares_aliases_over_all_families(stack, tmp_path):
    figures_file = tmp_path / "scores.json"
    ended = stack.attune("eval", "base", "stable", "--items", "6", "--json", str(figures_file))
    assert ended.returncode == 0, ended.stderr
    assert "stable − base" in ended.stdout
    figures = json.loads(figures_file.read_text())
    base, stable = figures["models"]
    assert set(base["families"]) == set(FAMILIES)
    assert base["items"] == 6 * len(FAMILIES)
    assert base["not_scored"] == {}
    # One version under two names, on the same items and streams, writes the same answers.
    assert stable["families"] == base["families"]
    scored = base["items"]
    assert figures["gains"]["stable"]["mean"] == {"mean": 0, "low": 0, "high": 0, "scored": scored}


def test_eval_of_an_unknown_alias_names_those_that_there_are(stack):
    ended = stack.attune("eval", "nobody", "--items", "1")
    assert ended.returncode == 1
    assert "'nobody'" in ended.stderr
    assert "stable" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_chat_answers_about_a_picture_and_draws_one(stack, tmp_path):
    picture = tmp_path / "red.png"
    Image.new("RGB", (32, 32), (225, 45, 45)).save(picture)
    ended = stack.attune(
        *("chat", "--image", str(picture)),
        *("-m", "how many things are there?", "-m", "/draw draw a red circle."),
    )
    assert ended.returncode == 0, ended.stderr
    answer, drawn = ended.stdout.strip().splitlines()
    assert answer
    with Image.open(drawn) as opened:
        assert opened.size == (32, 32)


def test_chat_says_what_is_attached_and_takes_it_away_again(stack, tmp_path):
    (tmp_path / "said.wav").write_bytes(tone())
    (tmp_path / "moves.gif").write_bytes(moving_square())
    lines = [f"/audio {tmp_path / 'said.wav'}", f"'{tmp_path / 'moves.gif'}'", "/video"]
    ended = stack.attune("chat", stdin="\n".join([*lines, "draw a circle", ""]))
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == "recording said.wav, 0.5 s\nclip moves.gif, 4 frames\n"


def test_chat_reads_questions_from_a_pipe(stack):
    ended = stack.attune("chat", stdin="draw a circle\n/quit\nnever asked\n")
    assert ended.returncode == 0, ended.stderr
    assert len(ended.stdout.splitlines()) <= 1


def test_chat_with_a_file_that_is_no_picture_is_a_clear_error(stack, tmp_path):
    (tmp_path / "x.png").write_bytes(b"not a picture")
    ended = stack.attune("chat", "-i", str(tmp_path / "x.png"), "-m", "what is it?")
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr


def test_a_task_of_ones_own_runs_as_it_is(stack, tmp_path):
    assert _attune("new", "task", "counting", cwd=tmp_path).returncode == 0
    figures_file = tmp_path / "run.json"
    ended = stack.attune(
        *("run", "counting/recipe.toml", "--set", "steps=2"),
        *("--set", "rollout.prompts_per_step=4", "--json", str(figures_file)),
        cwd=tmp_path,
    )
    assert ended.returncode == 0, ended.stderr
    run = json.loads(figures_file.read_text())
    assert (run["state"], run["step"]) == ("succeeded", 2)
    assert run["latest_version"].startswith("policy-")
    scores = stack.attune(
        *("eval", "base", run["alias"], "--task", "counting", "--items", "12"), cwd=tmp_path
    )
    assert scores.returncode == 0, scores.stderr
    assert run["alias"] in scores.stdout


def test_ctrl_c_stops_a_run_with_a_checkpoint_and_resume_goes_on(stack, tmp_path):
    assert _attune("new", "task", "counting", cwd=tmp_path).returncode == 0
    few = ("--set", "steps=8", "--set", "rollout.prompts_per_step=4")
    words = ("run", "counting", *few, "--home", str(stack.home))
    with _started(*words, cwd=tmp_path) as running:
        _read_until(running, "step 1/8")
        running.send_signal(signal.SIGINT)
        output, _ = running.communicate(timeout=60)
    assert running.returncode == 0, output
    assert "stopped" in output
    run_id = output.partition("attune run --resume ")[2].split()[0]
    resumed = stack.attune("run", "--resume", run_id)
    assert resumed.returncode == 0, resumed.stderr
    assert "step 8 of 8" in resumed.stdout


def test_a_run_that_is_not_watched_prints_its_id_alone(stack, tmp_path):
    assert _attune("new", "task", "counting", cwd=tmp_path).returncode == 0
    ended = stack.attune("run", "counting", "--no-watch", "--set", "steps=1", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.strip().startswith("counting-")


def test_a_recipe_with_a_wrong_field_says_which(stack):
    ended = stack.attune("run", "demo_rl", "--set", "optimizer.learning_rat=1")
    assert ended.returncode == 1
    assert "optimizer.learning_rat" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_bench_measures_each_kind_that_the_model_takes(stack):
    ended = stack.attune("bench", "media", "--rounds", "1", "--json", "-")
    assert ended.returncode == 0, ended.stderr
    figures = json.loads(ended.stdout)
    assert {"text", "picture"} <= set(figures)
    assert all(case["first_token_cold_ms"] > 0 for case in figures.values())
    assert figures["picture"]["prompt_tokens"] > figures["text"]["prompt_tokens"]
    unknown = stack.attune("bench", "media", "nobody")
    assert unknown.returncode == 1
    assert "nobody" in unknown.stderr


def test_a_service_that_dies_is_started_again(stack):
    killed = stack.status()["reward"]["pid"]
    os.kill(killed, signal.SIGKILL)

    def is_back() -> bool:
        reward = stack.status()["reward"]
        return reward["pid"] != killed and reward["health"] == "serving"

    _wait_until(is_back, deadline_s=30)
    assert stack.status()["reward"]["restarts"] == 1


def test_ctrl_c_ends_up_and_every_service_with_it(tmp_path):
    with _up_in_the_foreground(tmp_path) as up:
        pids = _service_pids(tmp_path)
        up.send_signal(signal.SIGINT)
        output, _ = up.communicate(timeout=60)
    assert up.returncode == 0, output
    assert "all services stopped" in output
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_down_ends_services_whose_supervisor_was_killed(tmp_path):
    with _up_in_the_foreground(tmp_path) as up:
        pids = _service_pids(tmp_path)
        up.kill()
        up.communicate(timeout=60)
    assert "supervisor has died" in _attune("status", "--home", str(tmp_path)).stdout
    assert "stopped" in _attune("down", "--home", str(tmp_path)).stdout
    _wait_until(lambda: not any(psutil.pid_exists(pid) for pid in pids), deadline_s=30)


def test_without_services_status_says_how_to_start_them(tmp_path):
    ended = _attune("status", "--home", str(tmp_path))
    assert ended.returncode == 1
    assert "attune up" in ended.stderr


def test_down_with_nothing_up_is_no_error(tmp_path):
    ended = _attune("down", "--home", str(tmp_path))
    assert ended.returncode == 0
    assert "nothing is up" in ended.stdout


def test_help_loads_none_of_what_takes_seconds():
    code = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from services.cli.main import app\n"
        "assert CliRunner().invoke(app, ['run', '--help']).exit_code == 0\n"
        "print([name for name in ('torch', 'grpc', 'numpy') if name in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"


@contextmanager
def _up_in_the_foreground(home: Path) -> Iterator[subprocess.Popen[str]]:
    """`attune up`, once it is ready."""
    place = ("--home", str(home), "--port-base", str(free_port_base()))
    with _started("up", *place) as running:
        _read_until(running, "logs ")
        yield running


def _service_pids(home: Path) -> list[int]:
    services = json.loads((home / "up.json").read_text())["services"]
    return [service["process"]["pid"] for service in services]


@contextmanager
def _started(*words: str, cwd: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    """The command while it runs; killed where a test fails before its end."""
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "services.cli", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=cwd,
    ) as running:
        try:
            yield running
        finally:
            running.kill()


def _read_until(running: subprocess.Popen[str], words: str) -> None:
    assert running.stdout is not None
    seen = []
    for line in running.stdout:
        seen.append(line)
        if words in line:
            return
    raise AssertionError("".join(seen))


def _attune(
    *words: str, stdin: str | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "services.cli", *words]
    environment = {k: v for k, v in os.environ.items() if k != "ATTUNE_HOME"}
    return subprocess.run(
        command,
        input=stdin or "",
        capture_output=True,
        text=True,
        timeout=180,
        cwd=cwd,
        env=environment,
        check=False,
    )


def _wait_until(condition: Callable[[], bool], deadline_s: float) -> None:
    """Asks again until it holds; each asking takes its own time."""
    end_s = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end_s, f"not within {deadline_s} s"
