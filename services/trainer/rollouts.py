"""Asks the policy service for a step's rollouts (laws 2, 4 and 5)."""

from collections.abc import Sequence

import grpc

from protos.v1 import policy_generator_pb2 as pb
from protos.v1 import policy_generator_pb2_grpc, trajectory_pb2
from protos.v1.versions_pb2 import ModelRef
from services.common.codecs import prompt_to_proto
from services.common.dataset import TaskItem
from services.common.errors import FailedPrecondition, Unavailable
from services.trainer.patience import Patience
from services.trainer.recipe_sections import RolloutSection


class RolloutClient:
    """Samples groups from the policy at an alias."""

    def __init__(
        self, channel: grpc.Channel, alias: str, section: RolloutSection, patience: Patience
    ) -> None:
        self._stub = policy_generator_pb2_grpc.PolicyGeneratorStub(channel)
        self._alias = alias
        self._section = section
        self._patience = patience

    def sample(
        self, items: Sequence[TaskItem], seed: int, request_id: str, version: str
    ) -> list[trajectory_pb2.Group]:
        """One group per item, in the items' order, all of `version`.

        Raises FailedPrecondition where another version answered: its alias was moved by another.
        """
        request = pb.RolloutRequest(
            request_id=request_id,
            model=ModelRef(alias=self._alias),
            prompts=[self._prompt(i, item) for i, item in enumerate(items)],
            samples_per_prompt=self._section.samples_per_prompt,
            sampling=trajectory_pb2.SamplingParams(seed=seed),
            deterministic=self._section.deterministic,
            priority=pb.PRIORITY_BATCH,
            return_parts=True,
        )
        groups = self._patience.call(
            "the policy service's Rollout", lambda t: self._run(request, t)
        )
        _check_version(groups, self._alias, version)
        by_id = {group.group_id: group for group in groups}
        return [by_id[group_id(i, item)] for i, item in enumerate(items)]

    def _prompt(self, index: int, item: TaskItem) -> pb.RolloutPrompt:
        sampling = self._section.sampling
        params = trajectory_pb2.SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            guidance_scale=sampling.guidance_scale,
        )
        if item.output == "image":  # its length is the server's to know
            params.output = trajectory_pb2.OUTPUT_MODALITY_IMAGE
        else:
            params.output = trajectory_pb2.OUTPUT_MODALITY_TEXT
            params.max_tokens = sampling.max_tokens
        prompt = prompt_to_proto(item.conversation)
        return pb.RolloutPrompt(group_id=group_id(index, item), prompt=prompt, sampling=params)

    def _run(self, request: pb.RolloutRequest, timeout_s: float) -> list[trajectory_pb2.Group]:
        responses = list(self._stub.Rollout(request, timeout=timeout_s))
        groups = [r.group for r in responses if r.WhichOneof("event") == "group"]
        if len(groups) != len(request.prompts):
            raise Unavailable(f"{len(groups)} groups came back for {len(request.prompts)} prompts")
        return groups


def group_id(index: int, item: TaskItem) -> str:
    """Unique within a step; the same in every run of the same recipe."""
    return f"{index}:{item.item_id}"


def _check_version(groups: Sequence[trajectory_pb2.Group], alias: str, version: str) -> None:
    found = {
        span.policy_version
        for group in groups
        for sample in group.samples
        for span in sample.version_spans
    }
    if found - {version}:
        raise FailedPrecondition(
            f"{alias} was sampled at {', '.join(sorted(found))}, the run published {version};"
            " somebody else moved the alias"
        )
