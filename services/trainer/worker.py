"""One run, in a process of its own: `python -m services.trainer.worker --run-dir DIR`.

It holds the run's lock while it lives. The orchestrator starts it, and finds it again after a
restart of its own.
"""

import argparse
import shutil
import signal
import sys
import time
import traceback
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from services.common.errors import as_attune_error
from services.trainer.event_log import EventWriter
from services.trainer.fingerprint import make_deterministic
from services.trainer.kinds import POLICY
from services.trainer.patience import StopAskedError
from services.trainer.recipe import (
    PolicyRecipe,
    PretrainRecipe,
    RewardRecipe,
    SftRecipe,
    read_recipe,
)
from services.trainer.run_context import RunContext, open_channels
from services.trainer.run_folder import RunFolder, RunState
from services.trainer.stages.policy import run_policy
from services.trainer.stages.pretrain import run_pretrain
from services.trainer.stages.reward import run_reward
from services.trainer.stages.sft import run_sft

_LOCK_TRIES, _LOCK_DELAY_S = 50, 0.1


def main() -> int:
    """Exit status 0 if the run ended as it should."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run-dir", type=Path, required=True)
    folder = RunFolder(parser.parse_args().run_dir)
    with ExitStack() as stack:
        _lock(folder, stack)
        settings = folder.launch_settings()
        make_deterministic(settings.threads)
        events = stack.enter_context(EventWriter(folder.events))
        channels = stack.enter_context(open_channels(settings))
        recipe = read_recipe(folder.recipe.read_text())
        run = RunContext(folder, recipe, events, channels)
        interruption = _Interruption(folder)
        return 0 if _outcome(run, interruption) in (RunState.SUCCEEDED, RunState.STOPPED) else 1


class _Interruption:
    """SIGTERM (the orchestrator ends, or the machine does): stop after the step, resumable."""

    def __init__(self, folder: RunFolder) -> None:
        self.is_asked = False
        self._folder = folder
        signal.signal(signal.SIGTERM, self._ask)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's goes to the whole group

    def _ask(self, number: int, stack_frame: FrameType | None) -> None:
        self.is_asked = True
        self._folder.ask_to_stop(checkpoint=True)


def _outcome(run: RunContext, interruption: _Interruption) -> RunState:
    """Runs the stage and records how it ended; the outermost loop of the process."""
    run.set_state(RunState.RUNNING)
    try:
        _prepare_initial(run)
        _run_stage(run)
        state, message = _ended(run)
    except StopAskedError as stopped:
        state, message = RunState.STOPPED, str(stopped)
    except Exception as error:
        traceback.print_exc()
        known = as_attune_error(error)
        state = RunState.INTERRUPTED if known.retryable else RunState.FAILED
        message = str(known) or type(error).__name__
    if interruption.is_asked and state is RunState.STOPPED:
        state, message = RunState.INTERRUPTED, "the service was stopped; resume the run"
    is_good = state in (RunState.SUCCEEDED, RunState.STOPPED)
    run.update(error="" if is_good else message)
    run.set_state(state, message)
    run.folder.forget_stop()
    return state


def _ended(run: RunContext) -> tuple[RunState, str]:
    match run.record.ended_by:
        case "stop":
            return RunState.STOPPED, f"stopped after step {run.record.step}"
        case "time_limit":
            return RunState.SUCCEEDED, f"time limit reached after step {run.record.step}"
        case _:
            return RunState.SUCCEEDED, ""


def _prepare_initial(run: RunContext) -> None:
    """Copies the initial policy into the run's folder, so that replay needs nothing else."""
    if run.folder.initial.exists() or not run.record.initial_version:
        return
    scratch = run.folder.path / ".initial"
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(run.store.folder(POLICY, run.record.initial_version), scratch)
    scratch.rename(run.folder.initial)


def _run_stage(run: RunContext) -> None:
    match run.recipe:
        case PolicyRecipe() as recipe:
            run_policy(run, recipe)
        case SftRecipe() as recipe:
            run_sft(run, recipe)
        case RewardRecipe() as recipe:
            run_reward(run, recipe)
        case PretrainRecipe() as recipe:
            run_pretrain(run, recipe)


def _lock(folder: RunFolder, stack: ExitStack) -> None:
    """Waits a little: the orchestrator looks at the lock, and a dying worker lets go of it."""
    for _ in range(_LOCK_TRIES):
        try:
            stack.enter_context(folder.locked())
            return
        except BlockingIOError:
            time.sleep(_LOCK_DELAY_S)
    raise SystemExit(f"{folder.path} is held by process {folder.holder()}")


if __name__ == "__main__":
    sys.exit(main())
