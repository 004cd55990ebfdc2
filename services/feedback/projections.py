"""From events to the rows beside them: pure, so that a rebuild gives the same tables."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from protos.v1.feedback_log_pb2 import Candidate, Item, Snapshot
from protos.v1.judgement_pb2 import Judgement
from protos.v1.trajectory_pb2 import Trajectory
from services.feedback.application_items import item_of_trajectory
from services.feedback.events import Event, EventType
from services.feedback.tables import (
    PROJECTIONS,
    Base,
    CandidateRow,
    EventRow,
    ItemRow,
    JudgementRow,
    MediaRow,
    ProjectionStateRow,
    SnapshotRow,
    TrajectoryRow,
)

# Raised with every change of what `project` writes; the service then rebuilds at its next start.
LAYOUT = 1
_REBUILD_BATCH = 500

Row = dict[str, object]


def project(session: Session, events: Sequence[Event]) -> None:
    """Writes the rows that follow from these events, which are newer than all projected ones."""
    rows: defaultdict[type[Base], list[Row]] = defaultdict(list)
    for event in events:
        for table, row in _rows_of(event):
            rows[table].append(row)
    for table in PROJECTIONS:
        if table is JudgementRow:
            _add_projects(session, rows[table])
        if rows[table]:
            session.execute(insert(table), rows[table])


def rebuild(session: Session) -> int:
    """Remakes every projection from the events, in one transaction; returns how many events."""
    for table in reversed(PROJECTIONS):
        session.execute(delete(table))
    done = 0
    while events := _events_after(session, done):
        project(session, events)
        done = events[-1].seq
    session.merge(ProjectionStateRow(id=1, layout=LAYOUT))
    return done


def is_current(session: Session) -> bool:
    """Whether the projections were made by this code."""
    return session.scalar(select(ProjectionStateRow.layout)) == LAYOUT


def item_of(type_: EventType, payload: bytes) -> Item:
    """The item that an event carries, or that its trajectory gives rise to."""
    if type_ is EventType.TRAJECTORY_LOGGED:
        return item_of_trajectory(Trajectory.FromString(payload))
    return Item.FromString(payload)


def _events_after(session: Session, seq: int) -> list[Event]:
    rows = session.execute(
        select(EventRow.seq, EventRow.type, EventRow.payload)
        .where(EventRow.seq > seq)
        .order_by(EventRow.seq)
        .limit(_REBUILD_BATCH)
    )
    return [Event(row.seq, EventType(row.type), row.payload) for row in rows]


def _rows_of(event: Event) -> Iterator[tuple[type[Base], Row]]:
    match event.type:
        case EventType.MEDIA_STORED:
            yield MediaRow, {"seq": event.seq} | json.loads(event.payload)
        case EventType.TRAJECTORY_LOGGED:
            yield TrajectoryRow, _trajectory_row(event)
            yield from _item_rows(event)
        case EventType.ITEM_PUT:
            yield from _item_rows(event)
        case EventType.JUDGEMENT_SUBMITTED:
            yield JudgementRow, _judgement_row(event)
        case EventType.SNAPSHOT_CREATED:
            snapshot = Snapshot.FromString(event.payload)
            row = {"snapshot_id": snapshot.snapshot_id, "project": snapshot.query.project}
            yield SnapshotRow, row | {"seq": event.seq}


def _trajectory_row(event: Event) -> Row:
    trajectory = Trajectory.FromString(event.payload)
    return {
        "trajectory_id": trajectory.trajectory_id,
        "seq": event.seq,
        "policy_version": trajectory.policy_version,
        "tenant": trajectory.tenant,
        "created_at_s": trajectory.created_at_s,
    }


def _item_rows(event: Event) -> Iterator[tuple[type[Base], Row]]:
    item = item_of(event.type, event.payload)
    yield (
        ItemRow,
        {
            "item_id": item.item_id,
            "seq": event.seq,
            "project": item.project,
            "split": item.split,
            "task": item.task,
            "group_key": item.group_key or None,
        },
    )
    for position, candidate in enumerate(item.candidates):
        yield CandidateRow, _candidate_row(item.item_id, position, candidate)


def _candidate_row(item_id: str, position: int, candidate: Candidate) -> Row:
    return {
        "item_id": item_id,
        "candidate_id": candidate.candidate_id,
        "position": position,
        "policy_version": candidate.policy_version or None,
        "trajectory_id": candidate.trajectory_id or None,
    }


def _judgement_row(event: Event) -> Row:
    judgement = Judgement.FromString(event.payload)
    return {
        "judgement_id": judgement.judgement_id,
        "seq": event.seq,
        "item_id": judgement.item_id,
        "rater_id": judgement.rater_id,
        "rater_kind": judgement.rater_kind,
        "kind": judgement.WhichOneof("kind"),
        "judged_at_s": judgement.judged_at_s,
    }


def _add_projects(session: Session, judgements: Iterable[Row]) -> None:
    """Fills in the projects of judged items, by which judgements are listed in order."""
    item_ids = {row["item_id"] for row in judgements}
    found = session.execute(
        select(ItemRow.item_id, ItemRow.project).where(ItemRow.item_id.in_(item_ids))
    )
    projects = {row.item_id: row.project for row in found}
    for row in judgements:
        row["project"] = projects[str(row["item_id"])]
