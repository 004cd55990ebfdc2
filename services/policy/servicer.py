"""`attune.v1.PolicyGenerator`: one method per RPC; errors are raised as our own tree."""

from collections.abc import AsyncIterator

from protos.v1 import policy_generator_pb2 as pb
from protos.v1 import policy_generator_pb2_grpc, versions_pb2
from services.common.errors import InvalidArgument
from services.common.idempotency import IdempotencyCache
from services.policy.calls import Context
from services.policy.generate import Generate
from services.policy.model_limits import model_limits
from services.policy.request_ids import RequestIds
from services.policy.residents import KIND, Resident, Residents
from services.policy.rollout import Rollout
from services.policy.weight_upload import discard
from services.policy.weights import WeightUpdates


class PolicyServicer(policy_generator_pb2_grpc.PolicyGeneratorServicer):
    """Holds to the idempotency of requests; all else is done by the parts that it is given."""

    def __init__(
        self, generate: Generate, rollout: Rollout, weights: WeightUpdates, residents: Residents
    ) -> None:
        self._generate = generate
        self._rollout = rollout
        self._weights = weights
        self._residents = residents
        self._request_ids = RequestIds()
        self._answers = IdempotencyCache()

    async def Generate(
        self, request: pb.GenerateRequest, context: Context
    ) -> AsyncIterator[pb.GenerateResponse]:
        self._request_ids.check(request.request_id, request)
        async for response in self._generate.run(request, context):
            yield response

    async def Rollout(
        self, request: pb.RolloutRequest, context: Context
    ) -> AsyncIterator[pb.RolloutResponse]:
        self._request_ids.check(request.request_id, request)
        async for response in self._rollout.run(request, context):
            yield response

    async def PrepareWeights(
        self, request_iterator: AsyncIterator[pb.PrepareWeightsRequest], context: Context
    ) -> pb.PrepareWeightsResponse:
        requests = aiter(request_iterator)
        try:
            first = await anext(requests, None)
            if first is None or first.WhichOneof("part") != "header":
                raise InvalidArgument("the first message of PrepareWeights must be a header")
            header = first.header
            return await self._answers.run(
                header.request_id, header, lambda: self._weights.prepare(header, requests)
            )
        finally:
            await discard(requests)

    async def CommitWeights(
        self, request: pb.CommitWeightsRequest, context: Context
    ) -> pb.CommitWeightsResponse:
        return await self._answers.run(
            request.request_id, request, lambda: self._weights.commit(request)
        )

    async def AbortWeights(
        self, request: pb.AbortWeightsRequest, context: Context
    ) -> pb.AbortWeightsResponse:
        return await self._answers.run(
            request.request_id, request, lambda: self._weights.abort(request)
        )

    async def ListVersions(
        self, request: pb.ListVersionsRequest, context: Context
    ) -> pb.ListVersionsResponse:
        records = self._residents.store.aliases(KIND)
        return pb.ListVersionsResponse(
            versions=[
                self._described(resident, [r.alias for r in records if r.version == version])
                for resident in self._residents
                for version in [resident.served.version]
            ],
            aliases=[
                versions_pb2.AliasState(alias=r.alias, version=r.version or "", epoch=r.epoch)
                for r in records
            ],
        )

    def _described(self, resident: Resident, aliases: list[str]) -> versions_pb2.ResidentVersion:
        served = resident.served
        return versions_pb2.ResidentVersion(
            version=served.version,
            state=self._state(served.version, aliases),
            aliases=aliases,
            limits=model_limits(served),
            preprocessing_fingerprint=served.preprocessor.fingerprint,
            resident_bytes=served.num_bytes,
            loaded_at_s=resident.loaded_at_s,
        )

    def _state(self, version: str, aliases: list[str]) -> versions_pb2.VersionState.ValueType:
        if aliases:
            return versions_pb2.VERSION_STATE_SERVING
        if version in self._weights.prepared_versions:
            return versions_pb2.VERSION_STATE_PREPARED
        return versions_pb2.VERSION_STATE_RETIRED
