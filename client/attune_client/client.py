"""The client for blocking code."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import cached_property
from types import TracebackType
from typing import Self, Unpack

import grpc

from attune_client.channels import CHANNEL_OPTIONS, DEFAULT_DEADLINE_S, addresses_of
from attune_client.completion_streams import CompletionStream
from attune_client.content import Prompt
from attune_client.feedback import Feedback
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
from attune_client.retries import Attempts, repeated, streamed
from attune_client.rollouts import Group, GroupReader, rollout_request
from attune_client.runs import Runs
from attune_client.scoring import Answered, Scores, score_request, scores_from_proto


class Client:
    """Talks to the services whose addresses (host:port) it is given.

    Without any it looks on this machine, where `attune up` starts them (ATTUNE_PORT_BASE). Each
    call is tried again until `deadline_s` has passed. Threads may share a client.
    """

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
        self._open = ExitStack()

    def generate(
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

        def attempt(timeout_s: float) -> Completion:
            builder = CompletionBuilder()
            for response in self._policy.Generate(request, timeout=timeout_s):
                builder.take(response)
            return builder.completion()

        return repeated(attempt, self._or_default(deadline_s))

    def stream(
        self,
        prompt: Prompt,
        *,
        model: str = "stable",
        n: int = 1,
        tenant: str = "",
        request_id: str | None = None,
        deadline_s: float | None = None,
        **sampling: Unpack[SamplingOptions],
    ) -> CompletionStream:
        """The same, as it is written; once it has been admitted it is not tried again."""
        request = generate_request(prompt, model, n, tenant, request_id, sampling)
        request.stream_deltas = True

        def attempt(timeout_s: float) -> CompletionStream:
            call = self._policy.Generate(request, timeout=timeout_s)
            return CompletionStream(call, next(call))

        return repeated(attempt, self._or_default(deadline_s))

    def rollout(
        self,
        prompts: Sequence[Prompt],
        samples_per_prompt: int,
        *,
        model: str = "stable",
        deterministic: bool = False,
        allow_version_switch: bool = False,
        deadline_s: float | None = None,
        **sampling: Unpack[SamplingOptions],
    ) -> Iterator[Group]:
        """A group of samples for each prompt, each when it is complete."""
        request = rollout_request(
            prompts, samples_per_prompt, model, deterministic, allow_version_switch, sampling
        )
        reader = GroupReader()
        call = self._policy.Rollout
        attempts = Attempts(self._or_default(deadline_s))
        for response in streamed(lambda t: call(request, timeout=t), attempts):
            group = reader.take(response)
            if group is not None:
                yield group

    def score(
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
        return scores_from_proto(repeated(lambda t: score(request, timeout=t), deadline_s))

    @cached_property
    def feedback(self) -> Feedback:
        """What people say of answers."""
        return Feedback(FeedbackLogStub(self._channel("feedback")), self._deadline_s)

    @cached_property
    def runs(self) -> Runs:
        """Training runs."""
        return Runs(TrainingOrchestratorStub(self._channel("trainer")), self._deadline_s)

    def close(self) -> None:
        """Closes the connections."""
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @cached_property
    def _policy(self) -> PolicyGeneratorStub:
        return PolicyGeneratorStub(self._channel("policy"))

    @cached_property
    def _reward(self) -> RewardModelStub:
        return RewardModelStub(self._channel("reward"))

    def _channel(self, name: str) -> grpc.Channel:
        address = self._addresses.require(name)
        channel = grpc.insecure_channel(address, options=CHANNEL_OPTIONS)
        return self._open.enter_context(channel)

    def _or_default(self, deadline_s: float | None) -> float:
        return self._deadline_s if deadline_s is None else deadline_s
