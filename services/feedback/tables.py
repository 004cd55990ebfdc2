"""The event table and the projections beside it.

Events alone hold content. A projection row says where to find it (`seq`) and what it is looked up
by, so that every projection can be dropped and remade (rebuild.py).
"""

from sqlalchemy import ForeignKey, Index, LargeBinary, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """All tables of the service."""


class EventRow(Base):
    """What happened, in the order of commit. Never changed, never deleted."""

    __tablename__ = "event"

    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # 1, 2, 3 … no gaps
    at_s: Mapped[float]  # Unix time of the server
    actor: Mapped[str | None]  # a rater or a tenant
    type: Mapped[str] = mapped_column(String(40))
    payload: Mapped[bytes] = mapped_column(LargeBinary)  # as `type` and `schema_version` say
    idempotency_key: Mapped[str] = mapped_column(unique=True)  # "<type>:<key>"
    body_sha256: Mapped[bytes] = mapped_column(LargeBinary)  # of what the client sent
    schema_version: Mapped[int]


class ProjectionStateRow(Base):
    """Which layout the projections were made in; one row, or none before they are made."""

    __tablename__ = "projection_state"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    layout: Mapped[int]


class MediaRow(Base):
    """A blob that some record may name."""

    __tablename__ = "media"

    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    seq: Mapped[int] = mapped_column(ForeignKey("event.seq"), unique=True)
    modality: Mapped[int]
    mime_type: Mapped[str | None]
    size_bytes: Mapped[int]


class TrajectoryRow(Base):
    """A request that the policy service answered."""

    __tablename__ = "trajectory"

    trajectory_id: Mapped[str] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(ForeignKey("event.seq"), unique=True)
    policy_version: Mapped[str]
    tenant: Mapped[str]
    created_at_s: Mapped[float]


class ItemRow(Base):
    """Something to be judged: put by a client, or an application's trajectory."""

    __tablename__ = "item"
    __table_args__ = (
        Index("ix_item_project_seq", "project", "seq"),
        Index("ix_item_project_group", "project", "group_key"),
    )

    item_id: Mapped[str] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(ForeignKey("event.seq"), unique=True)
    project: Mapped[str]
    split: Mapped[str]
    task: Mapped[str]
    group_key: Mapped[str | None]


class CandidateRow(Base):
    """One answer of an item."""

    __tablename__ = "candidate"

    item_id: Mapped[str] = mapped_column(ForeignKey("item.item_id"), primary_key=True)
    candidate_id: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int]
    policy_version: Mapped[str | None]
    trajectory_id: Mapped[str | None]


class JudgementRow(Base):
    """What one rater said of an item, in one kind of judgement."""

    __tablename__ = "judgement"
    __table_args__ = (
        Index("ix_judgement_item_seq", "item_id", "seq"),
        Index("ix_judgement_project_seq", "project", "seq"),
        Index("ix_judgement_rater_seq", "rater_id", "seq"),
    )

    judgement_id: Mapped[str] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(ForeignKey("event.seq"), unique=True)
    item_id: Mapped[str] = mapped_column(ForeignKey("item.item_id"))
    project: Mapped[str]
    rater_id: Mapped[str]
    rater_kind: Mapped[int]
    kind: Mapped[str] = mapped_column(String(20))
    judged_at_s: Mapped[float]


class SnapshotRow(Base):
    """A frozen data set."""

    __tablename__ = "snapshot"

    snapshot_id: Mapped[str] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(ForeignKey("event.seq"), unique=True)
    project: Mapped[str]


# Each after those that it refers to.
PROJECTIONS: tuple[type[Base], ...] = (
    MediaRow,
    TrajectoryRow,
    ItemRow,
    CandidateRow,
    JudgementRow,
    SnapshotRow,
)
