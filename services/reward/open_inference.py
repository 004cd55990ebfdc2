"""The Open Inference Protocol v2 over gRPC, so that clients of Triton and KServe score as they are.

A batch of n prompts and responses gives n rewards, in order. Where an item is not scored its reward
is NaN, and `STATUS` and `ERROR` say why.
Spec: https://github.com/kserve/open-inference-protocol (gRPC); stubs are tritonclient's.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc
from tritonclient.utils import (
    InferenceServerException,
    deserialize_bytes_tensor,
    serialize_byte_tensor,
)

from models.preprocessing.conversation import Audio, Medium, Picture, Role, Text, Turn, Video
from protos.v1.versions_pb2 import ModelRef
from services.common.errors import AttuneError, InvalidArgument
from services.reward.residents import Residents
from services.reward.scorers.contract import Outcome, Scorer, ScoringItem
from services.reward.scoring import Scoring, scoring_deadline_s

SERVICE = "inference.GRPCInferenceService"
_PLATFORM, _VERSION = "attune_reward", "1"
_MEDIA: dict[str, type[Medium]] = {"IMAGE": Picture, "AUDIO": Audio, "VIDEO": Video}
_REQUIRED = ("PROMPT", "RESPONSE")

Column = Callable[[Outcome], object]
_NUMBERS: dict[str, Column] = {
    "REWARD": lambda outcome: _or_nan(outcome.reward),
    "REWARD_STD": lambda outcome: _or_nan(outcome.std),
    "ACCEPTABILITY": lambda outcome: _or_nan(outcome.acceptability),
}
_TEXTS: dict[str, Column] = {
    "STATUS": lambda outcome: outcome.status.upper().encode(),
    "ERROR": lambda outcome: outcome.error.encode(),
}


class OpenInferenceServicer(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """Models go by their aliases and by their own names."""

    def __init__(self, residents: Residents, scoring: Scoring) -> None:
        self._residents = residents
        self._scoring = scoring

    async def ServerLive(self, request: pb.ServerLiveRequest, context: Any) -> Any:
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, request: pb.ServerReadyRequest, context: Any) -> Any:
        return pb.ServerReadyResponse(ready=True)

    async def ModelReady(self, request: pb.ModelReadyRequest, context: Any) -> Any:
        try:
            self._residents.resolve(self._ref(request.name))
        except AttuneError:
            return pb.ModelReadyResponse(ready=False)
        return pb.ModelReadyResponse(ready=True)

    async def ServerMetadata(self, request: pb.ServerMetadataRequest, context: Any) -> Any:
        return pb.ServerMetadataResponse(name="attune", version=_VERSION)

    async def ModelMetadata(self, request: pb.ModelMetadataRequest, context: Any) -> Any:
        scorer = self._residents.resolve(self._ref(request.name))
        return pb.ModelMetadataResponse(
            name=request.name,
            versions=[scorer.info.name],
            platform=_PLATFORM,
            inputs=[_metadata(name, "BYTES") for name in (*_REQUIRED, *_MEDIA)],
            outputs=[
                *(_metadata(name, "FP32") for name in _NUMBERS),
                *(_metadata(name, "BYTES") for name in _TEXTS),
            ],
        )

    async def ModelInfer(
        self, request: pb.ModelInferRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> Any:
        items = _items(_columns(request))
        wanted = [output.name for output in request.outputs] or [*_NUMBERS, *_TEXTS]
        unknown = [name for name in wanted if name not in _NUMBERS and name not in _TEXTS]
        if unknown:
            known = ", ".join((*_NUMBERS, *_TEXTS))
            raise InvalidArgument(f"output {unknown[0]!r} is unknown; there are: {known}")
        ref = self._ref(request.model_name)
        given = await self._scoring.score(ref, items, deadline_s=scoring_deadline_s(context))
        return _response(request, given.scorer, given.outcomes, wanted)

    def _ref(self, name: str) -> ModelRef:
        is_alias = any(entry.alias == name for entry in self._residents.alias_entries())
        return ModelRef(alias=name) if is_alias else ModelRef(version=name)


def _columns(request: pb.ModelInferRequest) -> dict[str, list[bytes]]:
    """The batch by input. Raises InvalidArgument."""
    raw = list(request.raw_input_contents)
    if raw and len(raw) != len(request.inputs):
        raise InvalidArgument(f"{len(raw)} raw contents for {len(request.inputs)} inputs")
    columns: dict[str, list[bytes]] = {}
    for at, tensor in enumerate(request.inputs):
        if tensor.name not in _REQUIRED and tensor.name not in _MEDIA:
            known = ", ".join((*_REQUIRED, *_MEDIA))
            raise InvalidArgument(f"input {tensor.name!r} is unknown; there are: {known}")
        if tensor.datatype != "BYTES":
            raise InvalidArgument(f"input {tensor.name} is {tensor.datatype}; expected BYTES")
        values = _bytes_of(raw[at], tensor.name) if raw else list(tensor.contents.bytes_contents)
        if len(values) != math.prod(tensor.shape):
            shape = list(tensor.shape)
            raise InvalidArgument(
                f"input {tensor.name} has {len(values)} elements; its shape is {shape}"
            )
        columns[tensor.name] = values
    missing = [name for name in _REQUIRED if name not in columns]
    if missing:
        raise InvalidArgument(f"input {missing[0]} is missing; give one element for each item")
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise InvalidArgument(f"inputs differ in length: {lengths}; media that are absent are b''")
    return columns


def _bytes_of(raw: bytes, name: str) -> list[bytes]:
    try:
        return list(deserialize_bytes_tensor(raw))
    except (InferenceServerException, ValueError, IndexError, TypeError) as error:
        raise InvalidArgument(f"the raw contents of {name} are not BYTES: {error}") from error


def _items(columns: Mapping[str, Sequence[bytes]]) -> list[ScoringItem]:
    return [
        ScoringItem(
            item_id=str(index),
            conversation=(Turn(Role.USER, (*_media(columns, index), _text(columns, index))),),
            answer=Turn(Role.ASSISTANT, (Text(_decoded(columns["RESPONSE"][index])),)),
        )
        for index in range(len(columns["PROMPT"]))
    ]


def _media(columns: Mapping[str, Sequence[bytes]], index: int) -> list[Medium]:
    """Those that are not empty, before the words."""
    given = ((kind, columns[name][index]) for name, kind in _MEDIA.items() if name in columns)
    return [kind(data) for kind, data in given if data]


def _text(columns: Mapping[str, Sequence[bytes]], index: int) -> Text:
    return Text(_decoded(columns["PROMPT"][index]))


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", errors="replace")


def _response(
    request: pb.ModelInferRequest, scorer: Scorer, outcomes: Sequence[Outcome], wanted: list[str]
) -> Any:
    tensors = {name: _tensor(name, outcomes) for name in wanted}
    return pb.ModelInferResponse(
        model_name=request.model_name,
        model_version=scorer.info.name,
        id=request.id,
        outputs=[
            pb.ModelInferResponse.InferOutputTensor(
                name=name, datatype="FP32" if name in _NUMBERS else "BYTES", shape=[len(outcomes)]
            )
            for name in wanted
        ],
        raw_output_contents=[_raw(tensors[name]) for name in wanted],
    )


def _tensor(name: str, outcomes: Sequence[Outcome]) -> NDArray[Any]:
    if name in _NUMBERS:
        return np.array([_NUMBERS[name](outcome) for outcome in outcomes], np.float32)
    return np.array([_TEXTS[name](outcome) for outcome in outcomes], np.object_)


def _raw(tensor: NDArray[Any]) -> bytes:
    if tensor.dtype != np.object_:
        return tensor.tobytes()
    return bytes(serialize_byte_tensor(tensor).item()) if tensor.size else b""


def _metadata(name: str, datatype: str) -> Any:
    return pb.ModelMetadataResponse.TensorMetadata(name=name, datatype=datatype, shape=[-1])


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
