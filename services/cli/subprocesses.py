"""Parts of the trainer that run by themselves; the command line imports no torch."""

import subprocess
import sys
from pathlib import Path

import typer

from services.cli.errors import UserError
from services.cli.runs.recipes import find_recipe


def pretrain_alone(out: Path, settings: tuple[str, ...]) -> None:
    """Makes a base checkpoint in a folder, or goes on with the one begun there."""
    if settings:
        raise UserError("--set has no effect with --out", "change a copy of pretrain.toml instead")
    recipe = find_recipe("pretrain")
    _run("services.trainer.pretraining", "--recipe", str(recipe.path), "--out", str(out))


def replay_run(run_id: str, home: Path) -> None:
    """Replays a run and says whether the weights are the same."""
    if not (home / "runs" / run_id).is_dir():
        known = sorted(p.name for p in (home / "runs").glob("*") if p.is_dir())
        raise UserError(
            f"there is no run {run_id!r} under {home / 'runs'}",
            f"the newest are {', '.join(known[-5:])}" if known else "`--home` names another home",
        )
    _run("services.trainer.replay", run_id, "--home", str(home))


def round_trip(checkpoint: Path, pictures: Path, out: Path) -> None:
    """Pictures of a folder through a checkpoint's image tokenizer and back, into another."""
    arguments = ("--checkpoint", checkpoint, "--pictures", pictures, "--out", out)
    _run("services.trainer.round_trip", *map(str, arguments))


def _run(module: str, *arguments: str) -> None:
    """Ends with the exit code of the module."""
    ended = subprocess.run([sys.executable, "-P", "-m", module, *arguments], check=False)
    if ended.returncode:
        raise typer.Exit(ended.returncode)
