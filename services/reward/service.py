"""`attune.v1.RewardModel`: validates, resolves, scores, answers. The work is in the scorers."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar
from uuid import uuid4

import grpc
from prometheus_client import CollectorRegistry
from tritonclient.grpc.service_pb2_grpc import add_GRPCInferenceServiceServicer_to_server

from protos.v1 import reward_model_pb2 as pb
from protos.v1 import reward_model_pb2_grpc
from services.common.decoding.cache import media_decoder
from services.common.errors import InvalidArgument
from services.common.idempotency import IdempotencyCache
from services.common.server import OpenServicers, Registration
from services.common.version_store import VersionStore
from services.reward import open_inference
from services.reward.aliases import AliasBook
from services.reward.canaries import Canaries
from services.reward.catalog import Catalog
from services.reward.config import RewardConfig
from services.reward.factory import ScorerFactory
from services.reward.metrics import RewardMetrics
from services.reward.open_inference import OpenInferenceServicer
from services.reward.residents import Residents
from services.reward.scorers.contract import Scorer
from services.reward.scoring import Scoring, scoring_deadline_s
from services.reward.wire import (
    alias_to_proto,
    blend_rule_from_proto,
    comparability_to_proto,
    info_to_proto,
    items_from_proto,
    lane_from_proto,
    score_to_proto,
    timing_to_proto,
)

Q = TypeVar("Q", pb.LoadModelRequest, pb.UnloadModelRequest, pb.SetAliasRequest)
R = TypeVar("R", pb.LoadModelResponse, pb.UnloadModelResponse, pb.SetAliasResponse)
_Context = grpc.aio.ServicerContext[Any, Any]


def open_servicers(config: RewardConfig) -> OpenServicers:
    """Opens the service over the versions and the state below `config.home`."""

    @asynccontextmanager
    async def opened(registry: CollectorRegistry) -> AsyncIterator[list[Registration]]:
        metrics = RewardMetrics(registry)
        store = VersionStore(config.home / "versions")
        state = config.home / "reward"
        aliases, catalog = AliasBook(store, state / "aliases.json"), Catalog(state / "scorers.json")
        with media_decoder(config, registry) as decode:
            factory = ScorerFactory(config, store, metrics, decode)
            residents = Residents(factory, aliases, catalog, metrics, config.max_resident)
            canaries = asyncio.create_task(_watch_canaries(residents, metrics, config))
            try:
                await residents.restore()
                scoring = Scoring(residents, metrics)
                servicer = RewardServicer(residents, factory, scoring)
                open_servicer = OpenInferenceServicer(residents, scoring)
                yield [
                    Registration(
                        "attune.v1.RewardModel",
                        partial(reward_model_pb2_grpc.add_RewardModelServicer_to_server, servicer),
                    ),
                    Registration(
                        open_inference.SERVICE,
                        partial(add_GRPCInferenceServiceServicer_to_server, open_servicer),
                    ),
                ]
            finally:
                canaries.cancel()
                await asyncio.gather(canaries, return_exceptions=True)
                await residents.close()
                factory.close()

    return opened


async def _watch_canaries(
    residents: Residents, metrics: RewardMetrics, config: RewardConfig
) -> None:
    if config.canary_s:
        await Canaries(residents, metrics).watch(config.canary_s)


class RewardServicer(reward_model_pb2_grpc.RewardModelServicer):
    """One method per RPC; errors are raised as our own tree."""

    def __init__(self, residents: Residents, factory: ScorerFactory, scoring: Scoring) -> None:
        self._residents = residents
        self._factory = factory
        self._scoring = scoring
        self._answers = IdempotencyCache()

    async def Score(self, request: pb.ScoreRequest, context: _Context) -> pb.ScoreResponse:
        start_s = time.monotonic()
        scored = await self._scoring.score(
            request.model,
            items_from_proto(request.items),
            deterministic=request.deterministic,
            lane=lane_from_proto(request.lane),
            deadline_s=scoring_deadline_s(context),
        )
        info = scored.scorer.info
        return pb.ScoreResponse(
            reward_version=info.name,
            scores=[
                score_to_proto(item.item_id, outcome, info.name, request.want)
                for item, outcome in zip(request.items, scored.outcomes, strict=True)
            ],
            comparability=comparability_to_proto(info.comparability),
            timing=timing_to_proto(scored.timing, time.monotonic() - start_s),
        )

    async def LoadModel(
        self, request: pb.LoadModelRequest, context: _Context
    ) -> pb.LoadModelResponse:
        return await self._once(request, self._load)

    async def UnloadModel(
        self, request: pb.UnloadModelRequest, context: _Context
    ) -> pb.UnloadModelResponse:
        return await self._once(request, self._unload)

    async def SetAlias(self, request: pb.SetAliasRequest, context: _Context) -> pb.SetAliasResponse:
        return await self._once(request, self._set_alias)

    async def ListModels(
        self, request: pb.ListModelsRequest, context: _Context
    ) -> pb.ListModelsResponse:
        return pb.ListModelsResponse(
            models=[self._described(scorer) for scorer in self._residents.scorers()],
            aliases=[alias_to_proto(entry) for entry in self._residents.alias_entries()],
        )

    async def _once(self, request: Q, change: Callable[[Q], Awaitable[R]]) -> R:
        """Runs a change once for its key, and to its end even if the client leaves."""
        key = request.request_id or uuid4().hex
        return await self._answers.run(key, request, lambda: change(request))

    async def _load(self, request: pb.LoadModelRequest) -> pb.LoadModelResponse:
        start_s = time.monotonic()
        scorer = await self._loaded(request)
        if request.alias:
            await self._residents.set_alias(request.alias, scorer.info.name, request.epoch)
        return pb.LoadModelResponse(
            model=self._described(scorer), load_s=time.monotonic() - start_s
        )

    async def _loaded(self, request: pb.LoadModelRequest) -> Scorer:
        kind = request.WhichOneof("model")
        if kind == "version":
            return await self._residents.load_version(request.version)
        if kind == "blend":
            terms = [(term.model, term.weight) for term in request.blend.terms]
            return await self._residents.load_blend(terms, blend_rule_from_proto(request.blend))
        if kind == "user_scorer":
            user = request.user_scorer
            deadline_s = user.deadline_s if user.HasField("deadline_s") else None
            described = await asyncio.to_thread(
                self._factory.describe_user, user.file, user.function, deadline_s
            )
            return await self._residents.load_user(described)
        raise InvalidArgument("model is not set; give a version, a user_scorer or a blend")

    async def _unload(self, request: pb.UnloadModelRequest) -> pb.UnloadModelResponse:
        await self._residents.unload(request.version)
        return pb.UnloadModelResponse()

    async def _set_alias(self, request: pb.SetAliasRequest) -> pb.SetAliasResponse:
        entry = await self._residents.set_alias(request.alias, request.version, request.epoch)
        return pb.SetAliasResponse(alias=alias_to_proto(entry))

    def _described(self, scorer: Scorer) -> pb.RewardVersion:
        return info_to_proto(scorer.info, self._residents.aliases_of(scorer.info.name))
