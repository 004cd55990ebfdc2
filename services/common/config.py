"""Typed configuration of a service: defaults < TOML file < environment < command line.

The TOML file holds one table per service (`[policy]`, `[reward]` …); it is named by `--config` or
ATTUNE_CONFIG. Environment variables are `ATTUNE_<SERVICE>_<FIELD>`; ATTUNE_HOME is the home of all.
"""

import argparse
import os
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)


class ServiceConfig(BaseSettings):
    """What every service can be told. A subclass adds its own fields and an `env_prefix`."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", cli_kebab_case=True)

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(0, ge=0, le=65535, description="gRPC (or HTTP) port; 0 takes a free one")
    metrics_port: int = Field(0, ge=0, le=65535, description="Prometheus port; 0 takes a free one")
    home: Path = Field(Path(".attune"), description="folder that holds all state")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "text"] = "json"
    threads: int = Field(0, ge=0, description="intra-op threads; 0 is one per available core")
    drain_s: float = Field(10.0, ge=0, description="time that requests get to finish on SIGTERM")
    max_message_mib: int = Field(64, ge=1, le=1024, description="largest gRPC message")
    reflection: bool = Field(True, description="answer gRPC reflection")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Puts the environment above keyword arguments, which carry the TOML table."""
        return env_settings, init_settings

    @property
    def num_threads(self) -> int:
        """`threads`, with 0 resolved to the cores this process may use."""
        return self.threads or len(os.sched_getaffinity(0))


class DecodingConfig(ServiceConfig):
    """A service that decodes media, which it does in processes of their own."""

    decoders: int = Field(2, ge=1, description="media that are decoded at a time")
    decode_s: float = Field(10.0, gt=0, description="what decoding one medium may take")
    decode_mib: int = Field(1024, ge=512, description="address space of a decoder; code has 300")
    decoded_cache_mib: int = Field(32, ge=0, description="decoded media that are kept")


C = TypeVar("C", bound=ServiceConfig)


def load_config(cls: type[C], table: str, argv: Sequence[str] | None = None) -> C:
    """Reads a service's configuration; on an error prints what is wrong and exits with 2."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config", type=Path, default=os.environ.get("ATTUNE_CONFIG"))
    known, rest = parser.parse_known_args(sys.argv[1:] if argv is None else list(argv))
    try:
        values = _toml_table(known.config, table) if known.config else {}
        if "ATTUNE_HOME" in os.environ:
            values["home"] = os.environ["ATTUNE_HOME"]
        return cls(_cli_parse_args=rest, _cli_prog_name=f"python -m services.{table}", **values)
    except ValidationError as error:
        _refuse(table, "\n".join(_explain(cls, dict(e)) for e in error.errors()))
    except (SettingsError, OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        _refuse(table, f"  {error}")


def _toml_table(path: Path, table: str) -> dict[str, Any]:
    values = tomllib.loads(path.read_text()).get(table, {})
    if not isinstance(values, dict):
        raise SettingsError(f"{path}: {table!r} must be a table [{table}], it is {values!r}")
    return values


def _explain(cls: type[ServiceConfig], error: dict[str, Any]) -> str:
    field = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        return f"  {field}: there is no such field; the fields are {', '.join(cls.model_fields)}"
    return f"  {field}: {error['msg']} (got {error['input']!r})"


def _refuse(table: str, reasons: str) -> NoReturn:
    print(f"configuration of {table} is not valid:\n{reasons}", file=sys.stderr)
    raise SystemExit(2)
