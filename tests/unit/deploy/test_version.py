"""One version is named everywhere."""

import re
import tomllib

from tests.support.dockerfile import ROOT


def version_of(folder: str) -> str:
    project = tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"]
    version: str = project["version"]
    return version


def test_the_client_and_the_images_have_the_version_of_attune():
    version = version_of(".")
    assert version_of("client") == version
    for name in ("compose.yaml", "compose.gpu.yaml"):
        tags = re.findall(r"image: attune-\w+:([\d.]+)", (ROOT / "deploy" / name).read_text())
        assert tags
        assert set(tags) == {version}
