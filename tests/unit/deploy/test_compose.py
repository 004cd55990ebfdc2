"""The compose files name targets, addresses and settings that there are."""

import re

import pytest
import yaml

from tests.support.dockerfile import CONFIGS, ROOT, default_port, is_read, stages

COMPOSE = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())
GPU = yaml.safe_load((ROOT / "deploy/compose.gpu.yaml").read_text())
SERVICES = COMPOSE["services"]


def test_there_is_a_container_for_each_service():
    assert SERVICES.keys() == CONFIGS.keys()


@pytest.mark.parametrize("name", CONFIGS)
def test_each_is_built_from_its_own_target_and_started_again(name):
    service = SERVICES[name]
    build = service["build"]
    assert build["target"] == name
    assert name in stages()
    assert (ROOT / "deploy" / build["context"] / "Dockerfile").samefile(ROOT / "Dockerfile")
    assert service["restart"] == "unless-stopped"
    assert "private" in service["networks"]
    assert service["cap_drop"] == ["ALL"]


@pytest.mark.parametrize("name", CONFIGS)
def test_each_setting_is_one_that_the_service_reads(name, monkeypatch):
    environment = SERVICES[name]["environment"]
    for variable, value in environment.items():
        assert variable.startswith(f"ATTUNE_{name.upper()}_")
        assert is_read(variable), variable
        monkeypatch.setenv(variable, re.sub(r"\$\{\w+:-(.*)\}", r"\1", value))
    config = CONFIGS[name]()
    for field in type(config).model_fields:
        if field.endswith("_address"):
            other = field.removesuffix("_address")
            assert getattr(config, field) == f"{other}:{default_port(other)}"


def test_services_wait_until_those_that_they_need_serve():
    for name, service in SERVICES.items():
        for other, wait in service.get("depends_on", {}).items():
            assert wait == {"condition": "service_healthy"}, (name, other)
            assert stages()[other].values("HEALTHCHECK")
    assert SERVICES["trainer"]["depends_on"].keys() == {"policy", "reward", "feedback"}


def test_only_the_gateway_is_reached_from_outside_and_only_from_this_machine():
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"gateway": ["${ATTUNE_PUBLISH:-127.0.0.1:8000}:8000"]}
    assert COMPOSE["networks"]["private"] == {"internal": True}
    outside = [name for name, service in SERVICES.items() if "public" in service["networks"]]
    assert outside == ["gateway"]


def test_those_that_share_versions_share_a_volume():
    [home] = stages()["runtime"].values("VOLUME")
    for name in ("policy", "reward", "trainer", "feedback"):
        assert f"home:{home}" in SERVICES[name]["volumes"]
    assert COMPOSE["volumes"].keys() == {"home"}


def test_the_gpu_file_changes_services_and_build_arguments_that_there_are():
    text = (ROOT / "Dockerfile").read_text()
    for name, service in GPU["services"].items():
        assert stages()[f"{name}-environment"].base == "torch"
        for argument in service["build"]["args"].keys() | SERVICES[name]["build"]["args"].keys():
            assert f"ARG {argument}=" in text
        [device] = service["deploy"]["resources"]["reservations"]["devices"]
        assert device["capabilities"] == ["gpu"]
