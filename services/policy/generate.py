"""Generate: one application request, streamed, and spooled for feedback when it is answered."""

import time
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from itertools import groupby

from protos.v1 import policy_generator_pb2 as pb
from protos.v1 import timing_pb2
from protos.v1 import trajectory_pb2 as trajectories
from services.common.codecs import prompt_to_proto
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
from services.policy.engine.request import Event, Group, Job, Priority, Sample, Token
from services.policy.engine.served_model import ServedModel
from services.policy.prompts import PromptReader, ReadPrompt
from services.policy.residents import Lease, Residents
from services.policy.samples import AnswerDecoder, sample_to_proto, top_to_proto
from services.policy.sampling_params import (
    check_num_samples,
    output_mode,
    resolve_sampling,
    sampling_to_proto,
    seed_of,
)
from services.policy.spool_pusher import SpoolPusher


@dataclass(slots=True)
class _Answer:
    """One request as it is answered."""

    request_id: str
    request: pb.GenerateRequest
    prompt: ReadPrompt
    job: Job
    started_s: float
    preprocess_s: float
    samples: list[trajectories.Sample] = field(default_factory=list)

    @property
    def group(self) -> Group:
        return self.job.groups[0]

    @property
    def served(self) -> ServedModel:
        return self.job.model

    @property
    def timing(self) -> timing_pb2.Timing:
        num_tokens = sum(len(sample.token_ids) for sample in self.samples)
        return timing_of(self.job, self.started_s, self.preprocess_s, num_tokens)


class Generate:
    """Runs requests to their end."""

    def __init__(
        self,
        config: PolicyConfig,
        engine: EngineClient,
        residents: Residents,
        prompts: PromptReader,
        decoder: AnswerDecoder,
        spool: SpoolPusher,
        constraints: Constraints,
    ) -> None:
        self._config = config
        self._engine = engine
        self._residents = residents
        self._prompts = prompts
        self._decoder = decoder
        self._spool = spool
        self._constraints = constraints

    async def run(
        self, request: pb.GenerateRequest, context: Context
    ) -> AsyncIterator[pb.GenerateResponse]:
        """`started`, deltas, a `finished` per sample, `done`; refusals come before `started`."""
        started_s = time.monotonic()
        deadline_s = deadline_of(context, self._config.max_request_s)
        with await self._residents.lease(request.model) as lease:
            inbox = self._engine.inbox()
            answer = await self._prepare(request, lease, inbox, started_s, deadline_s)
            with self._engine.submitted(answer.job):
                yield _started(answer)
                async for events in inbox.of(answer.job):
                    for response in await self._responses(answer, events):
                        yield response
            await self._spool.put(_trajectory(answer))
            yield pb.GenerateResponse(done=pb.GenerateDone(timing=answer.timing))

    async def _prepare(
        self,
        request: pb.GenerateRequest,
        lease: Lease,
        inbox: EventInbox,
        started_s: float,
        deadline_s: float,
    ) -> _Answer:
        num_samples = check_num_samples(request.n or 1, self._config)
        request_id = request.request_id or f"gen-{uuid.uuid4().hex}"
        mode = output_mode(request.sampling)
        prompt = await self._prompts.read(request.prompt, request.tenant, lease.served, mode)
        sampling = resolve_sampling(
            request.sampling,
            seed_of(request.sampling, request_id),
            num_samples,
            len(prompt.encoded.token_ids),
            lease.served,
            self._config,
        )
        constraint = await self._constraints.compiled(sampling.form, lease.served.preprocessor)
        job = Job(
            job_id=request_id,
            model=lease.served,
            groups=(Group(0, prompt.encoded, sampling, num_samples, constraint),),
            sink=inbox,
            priority=priority_of(request.priority, Priority.INTERACTIVE),
            deadline_s=deadline_s,
            is_streamed=request.stream_deltas,
            tenant=request.tenant,
        )
        return _Answer(request_id, request, prompt, job, started_s, time.monotonic() - started_s)

    async def _responses(self, answer: _Answer, events: list[Event]) -> list[pb.GenerateResponse]:
        tokens = [event for event in events if isinstance(event, Token)]
        responses = [pb.GenerateResponse(delta=d) for d in _deltas(answer.served, tokens)]
        finished = [event for event in events if isinstance(event, Sample)]
        if finished:
            stop = answer.group.sampling.stop
            answers = [(sample.token_ids_T.tolist(), stop) for sample in finished]
            parts = await self._decoder.parts(answer.served, answers)
            samples = [
                sample_to_proto(sample, answer.request_id, its_parts)
                for sample, its_parts in zip(finished, parts, strict=True)
            ]
            answer.samples += samples
            responses += [pb.GenerateResponse(finished=sample) for sample in samples]
        return responses


def _started(answer: _Answer) -> pb.GenerateResponse:
    return pb.GenerateResponse(
        started=pb.GenerateStarted(
            request_id=answer.request_id,
            policy_version=answer.served.version,
            sampling=sampling_to_proto(answer.group.sampling),
            media_sha256=answer.prompt.encoded.media_sha256,
            prompt_tokens=len(answer.prompt.encoded.token_ids),
        )
    )


def _deltas(served: ServedModel, tokens: list[Token]) -> Iterator[pb.SampleDelta]:
    """One per run of tokens of the same sample."""
    tokenizer = served.preprocessor.tokenizer
    for index, run in groupby(tokens, key=lambda token: token.sample_index):
        batch = list(run)
        raw = [tokenizer.token_bytes(token.token_id) for token in batch]
        yield pb.SampleDelta(
            index=index,
            token_ids=[token.token_id for token in batch],
            logprobs=[token.logprob for token in batch],
            text="".join(token.text for token in batch),
            top_logprobs=[top_to_proto(token.top, served) for token in batch if token.top],
            token_texts=[piece.decode("utf-8", errors="replace") for piece in raw],
            token_bytes=raw,
        )


def _trajectory(answer: _Answer) -> trajectories.Trajectory:
    """With the bytes of all media, so that it can be judged by itself."""
    request, encoded = answer.request, answer.prompt.encoded
    return trajectories.Trajectory(
        trajectory_id=answer.request_id,
        prompt=prompt_to_proto(answer.prompt.conversation),
        group=trajectories.Group(
            group_id=answer.request_id,
            samples=answer.samples,
            prompt_token_ids=encoded.token_ids.tolist(),
            media_sha256=encoded.media_sha256,
            preprocessing_fingerprint=answer.served.preprocessor.fingerprint,
            sampling=sampling_to_proto(answer.group.sampling),
        ),
        policy_version=answer.served.version,
        alias=request.model.alias,
        tenant=request.tenant,
        created_at_s=time.time(),
        timing=answer.timing,
    )
