"""Debian's Chromium on the gateway's page, over services of its own with one short run.

Screenshots go to the folder that ATTUNE_SCREENSHOTS names, else to a temporary one.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from protos.v1.training_orchestrator_pb2 import Run, StartRunRequest, WatchRunRequest
from protos.v1.training_orchestrator_pb2_grpc import TrainingOrchestratorStub
from services.common.client import sync_channel
from tests.support.pictures import png
from tests.support.processes import ServiceProcess, free_port, running
from tests.support.sound_and_clips import moving_square, tone

_FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
OpenPage = Callable[..., Page]

HOSTILE = "<img src=x onerror=\"window.hacked='yes'\"><script>window.hacked='yes'</script>"
RECIPE = """
name = "a-short-run"
stage = "policy"
steps = 3
[data]
source = "jsonl"
path = "hostile.jsonl"
[rollout]
prompts_per_step = 4
samples_per_prompt = 2
sampling = { max_tokens = 16 }
[reward]
version = "program/exact"
[algorithm]
name = "grpo"
[optimizer]
learning_rate = 1e-3
[show]
every = 1
samples = 4
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """For one module: while Playwright runs, it occupies the event loop of asynchronous tests."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("no chromium; apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def stack(base_checkpoint: Path, tmp_path_factory) -> Iterator[dict[str, ServiceProcess]]:
    """The five services by name, without any run."""
    home = tmp_path_factory.mktemp("browser")
    ports = {name: free_port() for name in ("feedback", "reward", "policy", "trainer")}
    addresses = {f"{name}_address": f"127.0.0.1:{port}" for name, port in ports.items()}
    told = {
        "feedback": {},
        "reward": {},
        "policy": {"base_checkpoint": base_checkpoint} | _only(addresses, "feedback"),
        "trainer": _only(addresses, "policy", "reward", "feedback"),
    }
    with ExitStack() as open_ones:
        processes = {
            name: open_ones.enter_context(running(name, home, port, **told[name]))
            for name, port in ports.items()
        }
        processes["gateway"] = open_ones.enter_context(running("gateway", home, **addresses))
        yield processes


@pytest.fixture(scope="session")
def start_run(stack, tmp_path_factory) -> Callable[[], str]:
    """Starts a run of three steps over data that would take the page over if it could."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "picture.png").write_bytes(png(side=32))
    (folder / "said.wav").write_bytes(tone(seconds=1.5))
    (folder / "moves.gif").write_bytes(moving_square())
    picture = {"type": "image", "path": "picture.png"}
    recording, clip = {"type": "audio", "path": "said.wav"}, {"type": "video", "path": "moves.gif"}
    question = {"type": "text", "text": "which way does it go?"}
    rows = [
        {"id": "text", "task": HOSTILE, "messages": _asked(HOSTILE)},
        {"id": "picture", "task": "caption", "messages": _asked([picture])},
        {"id": "senses", "task": "speech", "messages": _asked([clip, recording, question])},
        {"id": "draw", "task": "draw", "messages": _asked("draw it"), "output": "image"},
    ]
    reference = {"reference": {"answer": "x"}}
    lines = [json.dumps(row | reference) for row in rows]
    (folder / "hostile.jsonl").write_text("\n".join(lines))

    def start() -> str:
        request = StartRunRequest(
            request_id="browser", recipe_toml=RECIPE, recipe_folder=str(folder)
        )
        with sync_channel(stack["trainer"].address) as channel:
            run: Run = TrainingOrchestratorStub(channel).StartRun(request)
        return run.run_id

    return start


@pytest.fixture(scope="session")
def finished_run(stack, start_run) -> str:
    """The id of a run that has ended."""
    run_id = start_run()  # a repeat of the request names the same run
    with sync_channel(stack["trainer"].address) as channel:
        for _ in TrainingOrchestratorStub(channel).WatchRun(WatchRunRequest(run_id=run_id)):
            pass
    return run_id


@pytest.fixture(scope="module")
def context_of(browser: Browser) -> Callable[[int, str], BrowserContext]:
    """A context for a width and a theme, kept for its cache of files."""

    @cache
    def context_of(width: int, scheme: str) -> BrowserContext:
        size = {"width": width, "height": 900}
        return browser.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce")

    return context_of


@pytest.fixture
def open_page(context_of, stack) -> Iterator[OpenPage]:
    """Opens the page at a width, light or dark; any complaint on its console fails the test.

    `expected` is a complaint that the test is about.
    """
    complaints: list[str] = []
    with ExitStack() as pages:

        def open_one(width: int = 1280, scheme: str = "light", expected: str | None = None) -> Page:
            def complain(text: str) -> None:
                if expected is None or expected not in text:
                    complaints.append(text)

            page = context_of(width, scheme).new_page()
            pages.callback(page.close)
            page.set_default_timeout(15_000)
            page.on("pageerror", lambda error: complain(str(error)))
            page.on("console", lambda m: m.type in ("error", "warning") and complain(m.text))
            page.goto(stack["gateway"].url)
            page.wait_for_selector(".service")
            return page

        yield open_one
    assert complaints == []


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory) -> Path:
    named = os.environ.get("ATTUNE_SCREENSHOTS")
    folder = Path(named) if named else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _asked(content: object) -> list[dict[str, object]]:
    return [{"role": "user", "content": content}]


def _only(addresses: dict[str, str], *names: str) -> dict[str, str]:
    return {f"{name}_address": addresses[f"{name}_address"] for name in names}
