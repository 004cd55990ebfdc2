"""The READMEs' code blocks, run in order as a reader would, in both languages.

What a test cannot take literally is changed, and nothing else: the environment, the ports, the
length of runs, and the run's id where the reader fills it in.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import free_port_base

_ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_the_blocks_run_in_order(name: str, tmp_path: Path):
    reader = _Reader(tmp_path)
    blocks = _BLOCK.findall((_ROOT / name).read_text())
    assert [language for language, _ in blocks] == ["", "sh", "python", "sh", "sh"]
    try:
        for language, text in blocks[1:]:
            reader.python(text) if language == "python" else reader.shell(text)
    finally:
        reader.shell("attune down")


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_the_first_block_names_targets_of_make(name: str):
    _, text = _BLOCK.findall((_ROOT / name).read_text())[0]
    commands = [line.split("#")[0].split() for line in text.splitlines()]
    assert commands == [["make", "demo"], ["make", "test"]]
    for command in commands:
        subprocess.run([*command, "--dry-run"], cwd=_ROOT, check=True, capture_output=True)


class _Reader:
    """Types what the README says, in a folder of its own."""

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
