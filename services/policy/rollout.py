"""Rollout: groups of samples for training, each sent when it is complete."""

import time
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass

from protos.v1 import content_pb2
from protos.v1 import policy_generator_pb2 as pb
from protos.v1 import trajectory_pb2 as trajectories
from services.common.errors import InvalidArgument
from services.policy.calls import (
    Context,
    EngineClient,
    EventInbox,
    deadline_of,
    priority_of,
    timing_of,
)
from services.policy.config import PolicyConfig
from services.policy.constraints import Constraints
from services.policy.engine.request import Group, Job, Priority, Sample
from services.policy.metrics import PolicyMetrics
from services.policy.prompts import PromptReader
from services.policy.residents import Lease, Residents
from services.policy.samples import AnswerDecoder, sample_to_proto
from services.policy.sampling_params import (
    check_num_samples,
    output_mode,
    resolve_sampling,
    sampling_to_proto,
    seed_of,
)


@dataclass(frozen=True, slots=True)
class _Order:
    """A request with its prompts read."""

    request: pb.RolloutRequest
    request_id: str
    groups: tuple[Group, ...]
    preprocess_s: float

    def group_id(self, index: int) -> str:
        return self.request.prompts[index].group_id or f"{self.request_id}/{index}"


class Rollout:
    """Runs requests to their end."""

    def __init__(
        self,
        config: PolicyConfig,
        engine: EngineClient,
        residents: Residents,
        prompts: PromptReader,
        decoder: AnswerDecoder,
        metrics: PolicyMetrics,
        constraints: Constraints,
    ) -> None:
        self._config = config
        self._engine = engine
        self._residents = residents
        self._prompts = prompts
        self._decoder = decoder
        self._metrics = metrics
        self._constraints = constraints

    async def run(
        self, request: pb.RolloutRequest, context: Context
    ) -> AsyncIterator[pb.RolloutResponse]:
        """A `group` per prompt, in order of completion, then `done`."""
        started_s = time.monotonic()
        deadline_s = deadline_of(context, self._config.max_request_s)
        with await self._residents.lease(request.model) as lease:
            inbox = self._engine.inbox()
            order = await self._read(request, lease)
            job = self._job(order, lease, inbox, deadline_s)
            num_tokens = 0
            with self._engine.submitted(job):
                async for samples in _complete_groups(inbox, job):
                    num_tokens += sum(len(sample.token_ids_T) for sample in samples)
                    yield pb.RolloutResponse(group=await self._group(order, lease, samples))
            self._metrics.rollouts.inc()
            timing = timing_of(job, started_s, order.preprocess_s, num_tokens)
            version = job.model.version  # the newest that sampled
            yield pb.RolloutResponse(done=pb.RolloutDone(policy_version=version, timing=timing))

    async def _read(self, request: pb.RolloutRequest, lease: Lease) -> _Order:
        """Checks everything before anything runs."""
        started_s = time.monotonic()
        num_samples = check_num_samples(request.samples_per_prompt, self._config)
        total = num_samples * len(request.prompts)
        if not 1 <= total <= self._config.max_rollout_samples:
            raise InvalidArgument(
                f"{len(request.prompts)} prompts × {num_samples} samples; a rollout has from 1 to"
                f" {self._config.max_rollout_samples} samples"
            )
        request_id = request.request_id or f"rollout-{uuid.uuid4().hex}"
        seed = seed_of(request.sampling, request_id)
        groups = [
            await self._read_group(index, request, seed, lease)
            for index in range(len(request.prompts))
        ]
        return _Order(request, request_id, tuple(groups), time.monotonic() - started_s)

    async def _read_group(
        self, index: int, request: pb.RolloutRequest, seed: int, lease: Lease
    ) -> Group:
        prompt = request.prompts[index]
        params = prompt.sampling if prompt.HasField("sampling") else request.sampling
        read = await self._prompts.read(prompt.prompt, "", lease.served, output_mode(params))
        sampling = resolve_sampling(
            params,
            seed,
            request.samples_per_prompt,
            len(read.encoded.token_ids),
            lease.served,
            self._config,
        )
        constraint = await self._constraints.compiled(sampling.form, lease.served.preprocessor)
        return Group(index, read.encoded, sampling, request.samples_per_prompt, constraint)

    def _job(self, order: _Order, lease: Lease, inbox: EventInbox, deadline_s: float) -> Job:
        request = order.request
        job = Job(
            job_id=order.request_id,
            model=lease.served,
            groups=order.groups,
            sink=inbox,
            priority=priority_of(request.priority, Priority.BATCH),
            deadline_s=deadline_s,
        )
        # A switch depends on when weights arrive, so what must be repeatable never does it.
        if request.allow_version_switch and request.model.alias and not request.deterministic:
            self._residents.follow(job, request.model.alias, lease)
        return job

    async def _group(
        self, order: _Order, lease: Lease, samples: list[Sample]
    ) -> trajectories.Group:
        group = order.groups[samples[0].group_index]
        group_id = order.group_id(group.index)
        parts: list[list[content_pb2.Part]] = [[] for _ in samples]
        if order.request.return_parts:
            answers = [(sample.token_ids_T.tolist(), group.sampling.stop) for sample in samples]
            parts = await self._decoder.parts(lease.served, answers)
        return trajectories.Group(
            group_id=group_id,
            samples=[sample_to_proto(s, group_id, p) for s, p in zip(samples, parts, strict=True)],
            prompt_token_ids=group.prompt.token_ids.tolist(),
            media_sha256=group.prompt.media_sha256,
            preprocessing_fingerprint=lease.served.preprocessor.fingerprint,
            sampling=sampling_to_proto(group.sampling),
        )


async def _complete_groups(inbox: EventInbox, job: Job) -> AsyncIterator[list[Sample]]:
    """The samples of each group, in order, once all of them are there."""
    gathered: defaultdict[int, list[Sample]] = defaultdict(list)
    async for events in inbox.of(job):
        for sample in (event for event in events if isinstance(event, Sample)):
            samples = gathered[sample.group_index]
            samples.append(sample)
            if len(samples) == job.groups[sample.group_index].num_samples:
                yield sorted(samples, key=lambda s: s.sample_index)
