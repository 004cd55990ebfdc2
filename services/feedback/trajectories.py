"""Trajectories of applications, as the policy service's spool brings them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.orm import Session

from protos.v1.trajectory_pb2 import Trajectory
from services.common.embedded_media import media_of_trajectory
from services.common.errors import AlreadyExists, AttuneError, InvalidArgument, NotFound
from services.feedback.event_log import EventLog
from services.feedback.events import EventDraft, EventType, digest, encode
from services.feedback.media import MediaRecord, MediaVault, record_media
from services.feedback.tables import EventRow, ItemRow, TrajectoryRow
from services.feedback.validation import check_id


@dataclass(frozen=True, slots=True)
class PreparedTrajectory:
    """A trajectory with its media by hash, or the error that refuses it."""

    trajectory: Trajectory
    media: list[MediaRecord]
    error: AttuneError | None = None


@dataclass(slots=True)
class Outcome:
    """What became of a batch."""

    stored: int = 0
    repeated: int = 0
    refused: dict[str, AttuneError] = field(default_factory=dict)


def prepare(trajectory: Trajectory, vault: MediaVault) -> PreparedTrajectory:
    """Checks a trajectory and stores its media as blobs; hashes that are not held are kept."""
    detached = Trajectory()
    detached.CopyFrom(trajectory)
    try:
        check_trajectory(detached)
        return PreparedTrajectory(detached, vault.detach(media_of_trajectory(detached)))
    except InvalidArgument as error:
        return PreparedTrajectory(detached, [], error)


def check_trajectory(trajectory: Trajectory) -> None:
    """Raises InvalidArgument for a trajectory that no item could be made of."""
    check_id("trajectory_id", trajectory.trajectory_id)
    if not trajectory.prompt.messages:
        raise InvalidArgument(f"trajectory {trajectory.trajectory_id!r} has no prompt")
    indexes = [sample.index for sample in trajectory.group.samples]
    if not indexes or len(set(indexes)) < len(indexes):
        raise InvalidArgument(
            f"trajectory {trajectory.trajectory_id!r} must have samples of distinct index; it has "
            f"{indexes}"
        )


def log_batch(log: EventLog, prepared: Sequence[PreparedTrajectory]) -> Outcome:
    """Stores what is sound and new, also where others of the batch are refused."""
    ids = [p.trajectory.trajectory_id for p in prepared]
    known = log.find(EventType.TRAJECTORY_LOGGED, ids)
    bodies = {trajectory_id: event.body_sha256 for trajectory_id, event in known.items()}
    taken = set(log.session.scalars(select(ItemRow.item_id).where(ItemRow.item_id.in_(ids))))
    taken -= bodies.keys()
    outcome, fresh = Outcome(), list[PreparedTrajectory]()
    for p in prepared:
        trajectory_id, body = p.trajectory.trajectory_id, digest(p.trajectory)
        error = p.error or _conflict(trajectory_id, body, bodies, taken)
        if error is not None:
            outcome.refused[trajectory_id] = error
        elif trajectory_id in bodies:
            outcome.repeated += 1
        else:
            bodies[trajectory_id] = body
            fresh.append(p)
    record_media(log, [record for p in fresh for record in p.media])
    log.append([_draft(p.trajectory) for p in fresh])
    outcome.stored = len(fresh)
    return outcome


def refusal(outcome: Outcome) -> AttuneError | None:
    """The error of a batch of which some were refused; the others are stored all the same."""
    if not outcome.refused:
        return None
    first = next(iter(outcome.refused.values()))
    kept = outcome.stored + outcome.repeated
    return type(first)(
        f"{len(outcome.refused)} trajectories were refused, the other {kept} are stored; first: "
        f"{first}"
    )


def get(session: Session, trajectory_id: str) -> Trajectory:
    """A trajectory, media by hash. Raises NotFound."""
    payload = session.scalar(
        select(EventRow.payload)
        .join(TrajectoryRow, TrajectoryRow.seq == EventRow.seq)
        .where(TrajectoryRow.trajectory_id == trajectory_id)
    )
    if payload is None:
        raise NotFound(f"no trajectory {trajectory_id!r}")
    return Trajectory.FromString(payload)


def _conflict(
    trajectory_id: str, body: bytes, bodies: dict[str, bytes], taken: set[str]
) -> AlreadyExists | None:
    if trajectory_id in taken:
        return AlreadyExists(f"{trajectory_id!r} is the id of an item that a client put")
    if bodies.get(trajectory_id, body) != body:
        return AlreadyExists(f"trajectory {trajectory_id!r} exists with other content")
    return None


def _draft(trajectory: Trajectory) -> EventDraft:
    return EventDraft(
        EventType.TRAJECTORY_LOGGED,
        key=trajectory.trajectory_id,
        payload=encode(trajectory),
        body_sha256=digest(trajectory),
        actor=trajectory.tenant or None,
    )
