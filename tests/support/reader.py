"""Types the code blocks of a page as its reader would.

What a test cannot take literally is changed, and nothing else: the environment, the ports, the
length of runs, and the run's id where the reader fills it in.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support.processes import free_port_base

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks_of(page: Path) -> list[tuple[str, str]]:
    """(language, text) of each code block, in order."""
    return _BLOCK.findall(page.read_text())


class Reader:
    """Works in a folder of its own, with services on ports of their own."""

    def __init__(self, folder: Path) -> None:
        port_base = free_port_base()
        self._gateway = f"127.0.0.1:{port_base + 1000}"
        self._folder = folder
        self._run_id = "RUN"
        scripts = Path(sys.executable).parent
        self._environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("ATTUNE_")},
            "PATH": f"{scripts}:{os.environ['PATH']}",
            "ATTUNE_PORT_BASE": str(port_base),
        }

    def shell(self, text: str) -> None:
        for line in text.splitlines():
            command = line.split("#")[0].strip()
            if command and not command.startswith("source "):
                self._type(command)

    def python(self, text: str) -> None:
        code = text.replace("127.0.0.1:8000", self._gateway)
        said = self._run([sys.executable, "-c", code])
        assert said.strip(), "the snippet prints the answer"

    def _type(self, command: str) -> None:
        command = command.replace(" RUN", f" {self._run_id}")
        if command.startswith("attune run "):
            command = re.sub(r" --set steps=\d+", "", command)
            command += " --set steps=2 --set rollout.prompts_per_step=4"
        said = self._run(command.split())
        if match := re.search(r"\b[\w-]+-[0-9a-f]{8}\b", said):
            self._run_id = match[0]

    def _run(self, command: list[str]) -> str:
        ended = subprocess.run(
            command,
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert ended.returncode == 0, f"{command}\n{ended.stdout}{ended.stderr}"
        return ended.stdout
