"""The client for asyncio code: the same calls, to be awaited."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Self, Unpack

import grpc

from attune_client.async_feedback import AsyncFeedback
from attune_client.async_runs import AsyncRuns
from attune_client.channels import CHANNEL_OPTIONS, DEFAULT_DEADLINE_S, addresses_of
from attune_client.completion_streams import AsyncCompletionStream
from attune_client.content import Prompt
from attune_client.generation import (
    Completion,
    CompletionBuilder,
    SamplingOptions,
    generate_request,
)
from attune_client.protos.v1.feedback_log_pb2_grpc import FeedbackLogStub
from attune_client.protos.v1.policy_generator_pb2_grpc import PolicyGeneratorStub
from attune_client.protos.v1.reward_model_pb2_grpc import RewardModelStub
from attune_client.protos.v1.training_orchestrator_pb2_grpc import TrainingOrchestratorStub
from attune_client.retries import Attempts, repeated_async, streamed_async
from attune_client.rollouts import Group, GroupReader, rollout_request
from attune_client.scoring import Answered, Scores, score_request, scores_from_proto

if TYPE_CHECKING:
    from attune_client.protos.v1.policy_generator_pb2_grpc import PolicyGeneratorAsyncStub
    from attune_client.protos.v1.reward_model_pb2_grpc import RewardModelAsyncStub


class AsyncClient:
    """As `Client`; it belongs to the event loop in which it makes its first call."""

    def __init__(
        self,
        policy: str | None = None,
        reward: str | None = None,
        trainer: str | None = None,
        feedback: str | None = None,
        *,
        deadline_s: float = DEFAULT_DEADLINE_S,
    ) -> None:
        self._addresses = addresses_of(policy, reward, trainer, feedback)
        self._deadline_s = deadline_s
        self._open = AsyncExitStack()

    async def generate(
        self,
        prompt: Prompt,
        *,
        model: str = "stable",
        n: int = 1,
        tenant: str = "",
        request_id: str | None = None,
        deadline_s: float | None = None,
        **sampling: Unpack[SamplingOptions],
    ) -> Completion:
        """The answers to a prompt, `n` of them. `model` is an alias or a version."""
        request = generate_request(prompt, model, n, tenant, request_id, sampling)

        async def attempt(timeout_s: float) -> Completion:
            builder = CompletionBuilder()
            async for response in self._policy.Generate(request, timeout=timeout_s):
                builder.take(response)
            return builder.completion()

        return await repeated_async(attempt, self._or_default(deadline_s))

    async def stream(
        self,
        prompt: Prompt,
        *,
        model: str = "stable",
        n: int = 1,
        tenant: str = "",
        request_id: str | None = None,
        deadline_s: float | None = None,
        **sampling: Unpack[SamplingOptions],
    ) -> AsyncCompletionStream:
        """The same, as it is written; once it has been admitted it is not tried again."""
        request = generate_request(prompt, model, n, tenant, request_id, sampling)
        request.stream_deltas = True

        async def attempt(timeout_s: float) -> AsyncCompletionStream:
            call = self._policy.Generate(request, timeout=timeout_s)
            events = aiter(call)
            return AsyncCompletionStream(call, events, await anext(events))

        return await repeated_async(attempt, self._or_default(deadline_s))

    async def rollout(
        self,
        prompts: Sequence[Prompt],
        samples_per_prompt: int,
        *,
        model: str = "stable",
        deterministic: bool = False,
        allow_version_switch: bool = False,
        deadline_s: float | None = None,
        **sampling: Unpack[SamplingOptions],
    ) -> AsyncIterator[Group]:
        """A group of samples for each prompt, each when it is complete."""
        request = rollout_request(
            prompts, samples_per_prompt, model, deterministic, allow_version_switch, sampling
        )
        reader = GroupReader()
        call = self._policy.Rollout
        attempts = Attempts(self._or_default(deadline_s))
        async for response in streamed_async(lambda t: call(request, timeout=t), attempts):
            group = reader.take(response)
            if group is not None:
                yield group

    async def score(
        self,
        items: Sequence[Answered],
        *,
        model: str,
        deterministic: bool = False,
        deadline_s: float | None = None,
    ) -> Scores:
        """A score for each item, in order. `model` is an alias, a version or a scorer's name."""
        request = score_request(items, model, deterministic)
        score = self._reward.Score
        deadline_s = self._or_default(deadline_s)
        return scores_from_proto(
            await repeated_async(lambda t: score(request, timeout=t), deadline_s)
        )

    @cached_property
    def feedback(self) -> AsyncFeedback:
        """What people say of answers."""
        return AsyncFeedback(FeedbackLogStub(self._channel("feedback")), self._deadline_s)

    @cached_property
    def runs(self) -> AsyncRuns:
        """Training runs."""
        return AsyncRuns(TrainingOrchestratorStub(self._channel("trainer")), self._deadline_s)

    async def close(self) -> None:
        """Closes the connections."""
        await self._open.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    @cached_property
    def _policy(self) -> "PolicyGeneratorAsyncStub":
        return PolicyGeneratorStub(self._channel("policy"))

    @cached_property
    def _reward(self) -> "RewardModelAsyncStub":
        return RewardModelStub(self._channel("reward"))

    def _channel(self, name: str) -> grpc.aio.Channel:
        address = self._addresses.require(name)
        channel = grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)
        self._open.push_async_callback(channel.close)
        return channel

    def _or_default(self, deadline_s: float | None) -> float:
        return self._deadline_s if deadline_s is None else deadline_s
