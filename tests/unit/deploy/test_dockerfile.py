"""The Dockerfile says what the services' configuration and packaging say."""

import re
import tomllib
from fnmatch import fnmatch

import pytest

from tests.support.dockerfile import CONFIGS, ROOT, default_port, is_read, stages

STAGES = stages()
TARGETS = [*CONFIGS, "all"]
METRICS_OFFSET = 100


@pytest.mark.parametrize("name", TARGETS)
def test_each_target_is_its_own_environment_over_the_common_runtime(name):
    stage = STAGES[name]
    assert stage.base == "runtime"
    assert stage.values("COPY") == [f"--from={name}-environment /opt/attune /opt/attune"]
    assert "RUN" not in dict(stage.steps)


@pytest.mark.parametrize("name", TARGETS)
def test_each_environment_holds_the_wheel_with_its_own_extra(name):
    stage = STAGES[f"{name}-environment"]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    assert name in extras
    [install] = stage.values("RUN")
    assert install.endswith(f'"$(echo /wheels/*.whl)[{name}]"')
    needs_torch = name in ("policy", "trainer", "all")
    assert stage.base == ("torch" if needs_torch else "builder")


@pytest.mark.parametrize("name", CONFIGS)
def test_each_service_is_started_exposed_and_checked_where_it_listens(name):
    stage, port = STAGES[name], default_port(name)
    assert stage.values("ENTRYPOINT") == [f'["python", "-P", "-m", "services.{name}"]']
    own = str(port) if name == "gateway" else f"{port} {port + METRICS_OFFSET}"
    assert stage.values("EXPOSE") == [own]
    [check] = stage.values("HEALTHCHECK")
    assert check.endswith(f"127.0.0.1:${{ATTUNE_{name.upper()}_PORT:-{port}}}")
    assert ("--http" in check) == (name == "gateway")


def test_the_runtime_is_not_root_keeps_its_state_in_a_volume_and_is_told_to_drain():
    runtime = STAGES["runtime"]
    assert runtime.base == "python"
    assert runtime.values("USER") == ["attune"]
    assert runtime.values("STOPSIGNAL") == ["SIGTERM"]
    [home] = runtime.values("VOLUME")
    [environment] = runtime.values("ENV")
    assert f"ATTUNE_HOME={home}" in environment
    assert f"--home-dir {home}" in runtime.values("RUN")[0]


def test_what_the_image_sets_is_what_services_read():
    [environment] = STAGES["runtime"].values("ENV")
    variables = set(re.findall(r"(ATTUNE_\w+)=", environment)) - {"ATTUNE_HOME"}
    assert {f"ATTUNE_{name.upper()}_HOST" for name in CONFIGS} == variables
    assert all(is_read(variable) for variable in variables)


def test_what_is_shipped_holds_no_compiler_but_tritons_and_the_kernels_for_every_chip():
    compiler = re.compile(r"gcc|g\+\+|clang|build-essential|-dev\b|-devel\b")
    assert not any(compiler.search(command) for command in STAGES["runtime"].values("RUN"))
    [added] = [command for command in STAGES["python"].values("RUN") if compiler.search(command)]
    assert added.startswith("command -v python3 >/dev/null ||"), "CUDA bases alone bring no Python"
    assert all(STAGES[name].values("RUN") == [] for name in TARGETS)
    assert any("library.py --portable" in command for command in STAGES["builder"].values("RUN"))


def test_what_is_copied_exists_and_reaches_the_build():
    kept = [
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    ]
    for copied in STAGES["builder"].values("COPY"):
        for source in copied.split()[:-1]:
            assert (ROOT / source).exists(), source
            assert any(fnmatch(source, pattern) for pattern in kept), source
