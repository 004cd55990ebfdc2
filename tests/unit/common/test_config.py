"""Configuration: which source wins, and what an error says."""

from pathlib import Path

import pytest
from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.common.config import ServiceConfig, load_config


class KettleConfig(ServiceConfig):
    model_config = SettingsConfigDict(env_prefix="ATTUNE_KETTLE_")

    port: int = 7999
    litres: float = Field(1.5, gt=0)


@pytest.fixture(autouse=True)
def _no_outer_settings(monkeypatch):
    for name in ("ATTUNE_CONFIG", "ATTUNE_HOME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def toml(tmp_path) -> Path:
    path = tmp_path / "attune.toml"
    path.write_text("[kettle]\nport = 1\nlitres = 2.5\n[teapot]\nlids = 3\n")
    return path


def refusal(capsys, *argv: str) -> str:
    """What a refused configuration prints."""
    with pytest.raises(SystemExit) as stopped:
        load_config(KettleConfig, "kettle", argv)
    assert stopped.value.code == 2
    return capsys.readouterr().err


def test_defaults_hold_where_nothing_else_is_said():
    config = load_config(KettleConfig, "kettle", [])
    assert (config.port, config.litres, config.host) == (7999, 1.5, "127.0.0.1")


def test_the_toml_table_of_the_service_beats_defaults(toml):
    config = load_config(KettleConfig, "kettle", ["--config", str(toml)])
    assert (config.port, config.litres) == (1, 2.5)


def test_the_toml_file_can_be_named_by_the_environment(toml, monkeypatch):
    monkeypatch.setenv("ATTUNE_CONFIG", str(toml))
    assert load_config(KettleConfig, "kettle", []).port == 1


def test_the_environment_beats_the_toml_file(toml, monkeypatch):
    monkeypatch.setenv("ATTUNE_KETTLE_PORT", "2")
    config = load_config(KettleConfig, "kettle", ["--config", str(toml)])
    assert (config.port, config.litres) == (2, 2.5)


def test_the_command_line_beats_the_environment(toml, monkeypatch):
    monkeypatch.setenv("ATTUNE_KETTLE_PORT", "2")
    config = load_config(KettleConfig, "kettle", [f"--config={toml}", "--port", "3"])
    assert config.port == 3


def test_one_variable_moves_the_home_of_every_service_and_a_service_can_differ(monkeypatch):
    monkeypatch.setenv("ATTUNE_HOME", "/srv/attune")
    assert load_config(KettleConfig, "kettle", []).home == Path("/srv/attune")
    monkeypatch.setenv("ATTUNE_KETTLE_HOME", "/srv/kettle")
    assert load_config(KettleConfig, "kettle", []).home == Path("/srv/kettle")


def test_an_error_names_the_field_the_value_and_what_is_allowed(capsys):
    text = refusal(capsys, "--log-level", "loud", "--port", "70000", "--litres", "0")
    assert "kettle" in text
    assert "log_level: Input should be 'debug', 'info', 'warning' or 'error' (got 'loud')" in text
    assert "litres: Input should be greater than 0 (got '0')" in text


def test_an_unknown_field_of_the_toml_table_is_refused_with_the_known_ones(tmp_path, capsys):
    path = tmp_path / "bad.toml"
    path.write_text("[kettle]\nprot = 1\n")
    text = refusal(capsys, "--config", str(path))
    assert "prot: there is no such field; the fields are host, port," in text


@pytest.mark.parametrize(
    ("content", "said"),
    [("port =", "Invalid value"), ("kettle = 3", "must be a table"), (None, "No such file")],
)
def test_a_toml_file_that_cannot_be_read_is_explained(tmp_path, capsys, content, said):
    path = tmp_path / "bad.toml"
    if content is not None:
        path.write_text(content)
    assert said in refusal(capsys, "--config", str(path))


def test_an_unknown_option_is_refused(capsys):
    assert "--prot" in refusal(capsys, "--prot", "1")


def test_configuration_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        load_config(KettleConfig, "kettle", []).port = 4


def test_threads_default_to_the_cores_of_this_process():
    assert KettleConfig().num_threads >= 1
    assert KettleConfig(threads=3).num_threads == 3
