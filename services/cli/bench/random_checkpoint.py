"""Random checkpoints, made in a process of its own: the command line carries no torch."""

import json
import subprocess
import sys
from typing import Any, Literal

from services.cli.errors import UserError

Family = Literal["llama", "janus"]
_TIMEOUT_S = 600


def make_random(family: Family, *arguments: str) -> dict[str, Any]:
    """Has services/policy/bench/random_FAMILY.py make what the arguments say, and gives what it
    says of it. Raises UserError."""
    command = [sys.executable, "-P", "-m", f"services.policy.bench.random_{family}"]
    made = subprocess.run(
        [*command, *arguments], capture_output=True, text=True, timeout=_TIMEOUT_S
    )
    if made.returncode:
        raise UserError("the checkpoint could not be made", made.stderr.strip()[-500:])
    described: dict[str, Any] = json.loads(made.stdout)
    return described
