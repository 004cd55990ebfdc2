"""The wheel, installed into an environment of its own: small, without Attune, and it works."""

import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.support.wheels import build_wheel, fresh_environment, outside_environment

_MAX_WHEEL_BYTES = 150_000
_SCRIPT = """
import importlib.util
import sys
import warnings

warnings.simplefilter("error")
from attune_client import Client

for name in ("services", "models", "protos", "torch", "numpy", "fastapi", "pydantic", "PIL"):
    assert importlib.util.find_spec(name) is None, name
with Client(policy=sys.argv[1]) as client:
    print(len(client.generate("hi", max_tokens=4, ignore_eos=True).samples[0].token_ids))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel("client", tmp_path_factory.mktemp("wheel"))


def test_the_wheel_holds_the_package_its_types_and_its_licence(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert "attune_client/py.typed" in names
    assert "attune_client/protos/v1/policy_generator_pb2_grpc.pyi" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"attune_client"}
    assert wheel.stat().st_size < _MAX_WHEEL_BYTES


def test_it_talks_to_a_service_from_an_environment_without_attune(wheel, tmp_path, policy_service):
    python = fresh_environment(tmp_path / "fresh", str(wheel))
    script = tmp_path / "script.py"
    script.write_text(_SCRIPT)
    command = [python, script, policy_service.address]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=outside_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "4"), done.stderr
