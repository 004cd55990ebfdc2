"""Builds this repository's wheels and installs them as a user would, with pip."""

import os
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_TIMEOUT_S = 300


def build_wheel(folder: str, out: Path) -> Path:
    """The wheel of the project in a folder of the repository."""
    source = str(_ROOT / folder)
    _run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(out), source)
    [wheel] = out.glob("*.whl")
    return wheel


def fresh_environment(folder: Path, *requirements: str) -> Path:
    """A virtual environment with these requirements and nothing else; gives its Python."""
    _run(sys.executable, "-m", "venv", "--without-pip", str(folder))
    python = folder / "bin/python"
    pip = (sys.executable, "-m", "pip", "--python", str(python))
    _run(*pip, "install", "--quiet", "--no-compile", *requirements)
    return python


def outside_environment() -> dict[str, str]:
    """This process's environment without what points into the repository."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ATTUNE_", "PYTHON", "VIRTUAL_ENV"))
    }


def _run(*command: str) -> None:
    done = subprocess.run(
        command,
        env=outside_environment(),
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
