"""The pages' code blocks, run in order as a reader would: both READMEs and the tutorial."""

import subprocess
from pathlib import Path

import pytest

from tests.support.reader import Reader, blocks_of

_ROOT = Path(__file__).parents[2]
_READMES = ("README.md", "README.zh-CN.md")
_LANGUAGES = {
    **{name: ["", "sh", "python", "sh", "sh"] for name in _READMES},
    "docs/tutorial.md": ["sh", "sh", "sh", "sh", "python", "sh", "python", "sh"],
}


@pytest.mark.parametrize("name", _LANGUAGES)
def test_the_blocks_run_in_order(name: str, tmp_path: Path):
    reader = Reader(tmp_path)
    blocks = blocks_of(_ROOT / name)
    assert [language for language, _ in blocks] == _LANGUAGES[name]
    try:
        for language, text in blocks:
            if language == "python":
                reader.python(text)
            elif language == "sh":
                reader.shell(text)
    finally:
        reader.shell("attune down")


@pytest.mark.parametrize("name", _READMES)
def test_the_first_block_names_targets_of_make(name: str):
    _, text = blocks_of(_ROOT / name)[0]
    commands = [line.split("#")[0].split() for line in text.splitlines()]
    assert commands == [["make", "demo"], ["make", "test"]]
    for command in commands:
        subprocess.run([*command, "--dry-run"], cwd=_ROOT, check=True, capture_output=True)
