"""What an application's trajectory is to a rater: an item whose candidates are its samples."""

from protos.v1.content_pb2 import ROLE_ASSISTANT, Message
from protos.v1.feedback_log_pb2 import Candidate, Item
from protos.v1.trajectory_pb2 import FINISH_REASON_FAILED, Trajectory

PROJECT = "application"


def item_of_trajectory(trajectory: Trajectory) -> Item:
    """Item `ID` with a candidate `ID/i` for each sample that did not fail."""
    return Item(
        item_id=trajectory.trajectory_id,
        project=PROJECT,
        prompt=trajectory.prompt,
        candidates=_candidates(trajectory),
        metadata={"alias": trajectory.alias, "tenant": trajectory.tenant},
    )


def _candidates(trajectory: Trajectory) -> list[Candidate]:
    return [
        Candidate(
            candidate_id=f"{trajectory.trajectory_id}/{sample.index}",
            answer=Message(role=ROLE_ASSISTANT, parts=sample.parts),
            policy_version=trajectory.policy_version,
            trajectory_id=trajectory.trajectory_id,
            sample_index=sample.index,
            sampling=trajectory.group.sampling,
        )
        for sample in trajectory.group.samples
        if sample.finish_reason != FINISH_REASON_FAILED
    ]
