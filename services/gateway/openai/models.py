"""GET /v1/models: every alias and every resident version, with what a caller must stay within."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter

from protos.v1.media_pb2 import Modality
from protos.v1.policy_generator_pb2 import ListVersionsRequest, ListVersionsResponse
from protos.v1.versions_pb2 import ModelLimits, ResidentVersion
from services.gateway.backends import calling
from services.gateway.errors import ModelNotFound
from services.gateway.gateway import Gateway, GatewayDep, TimeoutDep

router = APIRouter()


@dataclass(frozen=True, slots=True)
class Model:
    """A name that a request may give, and the version it stands for now."""

    name: str
    resident: ResidentVersion

    @property
    def limits(self) -> ModelLimits:
        """What requests to it must keep."""
        return self.resident.limits


@router.get("/v1/models")
async def list_models(gateway: GatewayDep, timeout_s: TimeoutDep) -> dict[str, Any]:
    """All names, aliases first."""
    models = await _models(gateway, timeout_s)
    return {"object": "list", "data": [_as_json(model) for model in models]}


@router.get("/v1/models/{name:path}")
async def get_model(name: str, gateway: GatewayDep, timeout_s: TimeoutDep) -> dict[str, Any]:
    """One of them; the names of aliases may hold slashes."""
    return _as_json(await find_model(name, gateway, timeout_s))


async def find_model(name: str, gateway: Gateway, timeout_s: float) -> Model:
    """The model of that name. Raises ModelNotFound."""
    models = await _models(gateway, timeout_s)
    for model in models:
        if model.name == name:
            return model
    known = ", ".join(model.name for model in models) or "none"
    raise ModelNotFound(f"no model {name!r}; there are: {known}")


async def _models(gateway: Gateway, timeout_s: float) -> list[Model]:
    with calling("policy"):
        listed = await gateway.backends.policy.ListVersions(
            ListVersionsRequest(), timeout=timeout_s
        )
    return list(_named(listed))


def _named(listed: ListVersionsResponse) -> Iterator[Model]:
    versions = {resident.version: resident for resident in listed.versions}
    for alias in sorted(listed.aliases, key=lambda a: (a.alias != "stable", a.alias)):
        if alias.version in versions:
            yield Model(alias.alias, versions[alias.version])
    for resident in listed.versions:
        yield Model(resident.version, resident)


def _as_json(model: Model) -> dict[str, Any]:
    """OpenAI's four fields, and ours."""
    limits = model.limits
    return {
        "id": model.name,
        "object": "model",
        "created": int(model.resident.loaded_at_s),
        "owned_by": "attune",
        "version": model.resident.version,
        "context_tokens": limits.context_tokens,
        "max_input_tiles": limits.max_input_tiles,
        "tokens_per_output_image": limits.tokens_per_output_image,
        "input_modalities": _modalities(limits.input_modalities),
        "output_modalities": _modalities(limits.output_modalities),
        "audio": _audio(limits),
        "video": _video(limits),
    }


def _audio(limits: ModelLimits) -> dict[str, float] | None:
    if not limits.HasField("audio"):
        return None
    return {
        "seconds_per_token": limits.audio.seconds_per_token,
        "seconds_per_window": limits.audio.seconds_per_window,
    }


def _video(limits: ModelLimits) -> dict[str, int] | None:
    if not limits.HasField("video"):
        return None
    return {
        "max_frames": limits.video.max_frames,
        "tokens_per_frame": limits.video.tokens_per_frame,
    }


def _modalities(values: Iterable["Modality.ValueType"]) -> list[str]:
    return [Modality.Name(value).removeprefix("MODALITY_").lower() for value in values]
