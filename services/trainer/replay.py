"""Computes a run's weights again from what lies in its folder: `python -m services.trainer.replay`.

No service is asked. The same machine, thread count and libraries give the same bits; another
fingerprint is refused, with what differs (law 12).
"""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from services.common.errors import AttuneError, FailedPrecondition
from services.trainer.fingerprint import (
    current_fingerprint,
    make_deterministic,
    recorded_fingerprints,
)
from services.trainer.policy_training import open_training
from services.trainer.recipe import PolicyRecipe, RewardRecipe, SftRecipe, read_recipe
from services.trainer.replay_log import ReplayLog
from services.trainer.run_folder import RunFolder
from services.trainer.stages.reward import open_reward_training


@dataclass(frozen=True, slots=True)
class Replayed:
    """`weights_sha256` as computed again, `recorded_sha256` as the run ended ("" if it did not)."""

    weights_sha256: str
    recorded_sha256: str
    steps: int

    @property
    def is_identical(self) -> bool:
        return self.weights_sha256 == self.recorded_sha256


def replay(
    run_folder: Path, report: Callable[[int, int], None] | None = None, threads: int | None = None
) -> Replayed:
    """Takes every step again; `report(done, total)` after each. Sets the process's threads.

    Raises FailedPrecondition for another fingerprint or a run that cannot be replayed, DataLoss
    for a damaged log.
    """
    folder = RunFolder(run_folder)
    _require(folder, threads)
    recipe = read_recipe(folder.recipe.read_text())
    match recipe:
        case PolicyRecipe() | SftRecipe():
            digest, steps = _replay_policy(folder, recipe, report)
        case RewardRecipe():
            digest, steps = _replay_reward(folder, recipe, report)
        case _:
            raise FailedPrecondition(
                "a pretrain run consumes nothing that a log could hold; run its recipe again"
            )
    return Replayed(digest, folder.record().weights_sha256, steps)


def _require(folder: RunFolder, threads: int | None) -> None:
    """The fingerprint that the run was computed under, in this process."""
    recorded = list(recorded_fingerprints(folder.fingerprints).values())
    if not recorded:
        raise FailedPrecondition(f"{folder.path} has taken no step yet; there is nothing to replay")
    make_deterministic(threads or recorded[0].threads)
    here = current_fingerprint()
    problems = [text for other in recorded for text in other.differences(here)]
    if problems:
        raise FailedPrecondition(
            f"the run was computed under another fingerprint ({'; '.join(problems)}); its weights"
            " cannot be had again bit for bit here"
        )


def _replay_policy(
    folder: RunFolder,
    recipe: PolicyRecipe | SftRecipe,
    report: Callable[[int, int], None] | None,
) -> tuple[str, int]:
    training = open_training(recipe, folder.initial)
    log = ReplayLog(folder.replay)
    total = len(log.steps())
    for step in range(1, total + 1):
        training.learn(log.read(step))
        if report:
            report(step, total)
    return training.digest(), total


def _replay_reward(
    folder: RunFolder, recipe: RewardRecipe, report: Callable[[int, int], None] | None
) -> tuple[str, int]:
    training = open_reward_training(folder, recipe)
    total = folder.record().step
    while training.step < total and not training.is_done:
        training.take_step()
        if report:
            report(training.step, total)
    training.finish()
    return training.digest(), training.step


def main() -> int:
    """Prints one JSON object; status 0 if the weights are identical, 1 if not, 2 if refused."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", metavar="RUN", help="a run's folder, or its id with --home")
    parser.add_argument("--home", type=Path, help="folder that holds all state")
    parser.add_argument("--threads", type=int, help="instead of the run's own (then it must match)")
    arguments = parser.parse_args()
    home: Path | None = arguments.home
    run_folder = home / "runs" / arguments.run if home else Path(arguments.run)

    def report(done: int, total: int) -> None:
        print(f"step {done} of {total}", file=sys.stderr, flush=True)

    try:
        replayed = replay(run_folder, report, arguments.threads)
    except (AttuneError, OSError) as error:
        print(f"cannot replay {run_folder}: {error}", file=sys.stderr)
        return 2
    print(json.dumps({**asdict(replayed), "is_identical": replayed.is_identical}))
    return 0 if replayed.is_identical else 1


if __name__ == "__main__":
    sys.exit(main())
