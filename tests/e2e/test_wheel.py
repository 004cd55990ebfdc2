"""The wheel holds what it needs, and each service starts from it with its own extra alone."""

import os
import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.support.processes import running
from tests.support.wheels import build_wheel, fresh_environment, outside_environment

_ROOT = Path(__file__).parents[2]
_CONSTRAINTS = ("--constraint", str(_ROOT / "constraints.txt"))
_NO_TORCH = ("reward", "feedback", "gateway")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(".", tmp_path_factory.mktemp("wheel"))


def test_the_wheel_holds_recipes_the_base_the_contracts_and_the_page(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    committed = {
        "deploy/recipes/": "services/cli/recipes/",
        "models/base/": "models/base/",
        "protos/v1/": "protos/v1/",
        "services/gateway/web/": "services/gateway/web/",
        "services/cli/new_task/template/": "services/cli/new_task/template/",
        "services/feedback/migrations/": "services/feedback/migrations/",
    }
    for source, packaged in committed.items():
        files = [p for p in (_ROOT / source).rglob("*") if p.is_file() and p.suffix != ".pyc"]
        assert files, source
        for path in files:
            assert packaged + path.relative_to(_ROOT / source).as_posix() in names
    tops = {name.split("/")[0].partition("-")[0] for name in names}
    assert tops == {"services", "models", "protos", "attune"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["policy", "reward", "trainer", "feedback", "gateway"])
def test_a_service_starts_from_the_wheel_with_its_own_extra_alone(wheel, tmp_path, name):
    python = fresh_environment(tmp_path / "fresh", f"{wheel}[{name}]", *_CONSTRAINTS)
    has_torch = _can_import(python, "torch", tmp_path)
    assert has_torch == (name not in _NO_TORCH)
    assert not _can_import(python, "pytest", tmp_path)
    with running(name, tmp_path / "home", python=python, host="0.0.0.0") as service:
        port = service.address.rpartition(":")[2]
        kind = ("--http",) if name == "gateway" else ()
        asked = subprocess.run(
            [
                *(python, "-P", "-m", "services.common.readiness", *kind, f"127.0.0.1:{port}"),
            ],
            cwd=tmp_path,
            env=outside_environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        # The gateway is ready where the policy service is, which is not started here.
        assert asked.stdout.strip() == ("not serving" if name == "gateway" else "serving")
        assert service.stop() == 0


@pytest.mark.slow
def test_the_command_runs_from_the_wheel(wheel, tmp_path):
    python = fresh_environment(tmp_path / "fresh", f"{wheel}[cli]", *_CONSTRAINTS)
    done = subprocess.run(
        [python.parent / "attune", "--version"],
        cwd=tmp_path,
        env=outside_environment() | {"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    version = wheel.name.split("-")[1]
    assert done.stdout == f"attune {version}\n"


def _can_import(python: Path, module: str, folder: Path) -> bool:
    code = f"import importlib.util as u, sys; sys.exit(u.find_spec({module!r}) is None)"
    done = subprocess.run(
        [python, "-P", "-c", code], cwd=folder, env=outside_environment(), check=False
    )
    return done.returncode == 0
