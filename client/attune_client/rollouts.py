"""Rollout: groups of samples for a trainer of one's own."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from attune_client.content import Prompt, prompt_to_proto
from attune_client.generation import (
    Sample,
    SamplingOptions,
    sample_from_proto,
    sampling_to_proto,
)
from attune_client.models import model_ref
from attune_client.protos.v1 import policy_generator_pb2 as pb
from attune_client.protos.v1 import trajectory_pb2 as trajectories


@dataclass(frozen=True, slots=True)
class Group:
    """The samples of one prompt, with the prompt as the model saw it."""

    prompt_index: int
    samples: tuple[Sample, ...]
    prompt_token_ids: tuple[int, ...] = field(repr=False)
    preprocessing_fingerprint: str
    proto: trajectories.Group = field(repr=False)


def rollout_request(
    prompts: Sequence[Prompt],
    samples_per_prompt: int,
    model: str,
    deterministic: bool,
    allow_version_switch: bool,
    sampling: SamplingOptions,
) -> pb.RolloutRequest:
    """A request under a key of its own; groups are named by the index of their prompt."""
    return pb.RolloutRequest(
        request_id=f"rollout-{uuid.uuid4().hex}",
        model=model_ref(model),
        prompts=[
            pb.RolloutPrompt(group_id=str(index), prompt=prompt_to_proto(prompt))
            for index, prompt in enumerate(prompts)
        ],
        samples_per_prompt=samples_per_prompt,
        sampling=sampling_to_proto(sampling),
        deterministic=deterministic,
        allow_version_switch=allow_version_switch,
        return_parts=True,
    )


class GroupReader:
    """Reads the groups of a Rollout; one that came before its stream broke is not read again."""

    def __init__(self) -> None:
        self._read: set[str] = set()

    def take(self, response: pb.RolloutResponse) -> Group | None:
        """The group that an event brings, if it is new."""
        group = response.group
        if response.WhichOneof("event") != "group" or group.group_id in self._read:
            return None
        self._read.add(group.group_id)
        samples = map(sample_from_proto, group.samples)
        return Group(
            prompt_index=int(group.group_id),
            samples=tuple(sorted(samples, key=lambda sample: sample.index)),
            prompt_token_ids=tuple(group.prompt_token_ids),
            preprocessing_fingerprint=group.preprocessing_fingerprint,
            proto=group,
        )
