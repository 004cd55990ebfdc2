"""The projections; schema.py fills them from the events."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "projection_state",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("layout", sa.Integer, nullable=False),
    )
    _create_media_and_trajectory()
    _create_item_and_candidate()
    _create_judgement()
    op.create_table(
        "snapshot",
        sa.Column("snapshot_id", sa.String, primary_key=True),
        _seq(),
        sa.Column("project", sa.String, nullable=False),
    )


def downgrade() -> None:
    for table in ("snapshot", "judgement", "candidate", "item", "trajectory", "media"):
        op.drop_table(table)
    op.drop_table("projection_state")


def _create_media_and_trajectory() -> None:
    op.create_table(
        "media",
        sa.Column("sha256", sa.String(64), primary_key=True),
        _seq(),
        sa.Column("modality", sa.Integer, nullable=False),
        sa.Column("mime_type", sa.String),
        sa.Column("size_bytes", sa.Integer, nullable=False),
    )
    op.create_table(
        "trajectory",
        sa.Column("trajectory_id", sa.String, primary_key=True),
        _seq(),
        sa.Column("policy_version", sa.String, nullable=False),
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("created_at_s", sa.Double, nullable=False),
    )


def _create_item_and_candidate() -> None:
    op.create_table(
        "item",
        sa.Column("item_id", sa.String, primary_key=True),
        _seq(),
        sa.Column("project", sa.String, nullable=False),
        sa.Column("split", sa.String, nullable=False),
        sa.Column("task", sa.String, nullable=False),
        sa.Column("group_key", sa.String),
    )
    op.create_index("ix_item_project_seq", "item", ["project", "seq"])
    op.create_index("ix_item_project_group", "item", ["project", "group_key"])
    op.create_table(
        "candidate",
        sa.Column("item_id", sa.String, sa.ForeignKey("item.item_id"), primary_key=True),
        sa.Column("candidate_id", sa.String, primary_key=True),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("policy_version", sa.String),
        sa.Column("trajectory_id", sa.String),
    )


def _create_judgement() -> None:
    op.create_table(
        "judgement",
        sa.Column("judgement_id", sa.String, primary_key=True),
        _seq(),
        sa.Column("item_id", sa.String, sa.ForeignKey("item.item_id"), nullable=False),
        sa.Column("project", sa.String, nullable=False),
        sa.Column("rater_id", sa.String, nullable=False),
        sa.Column("rater_kind", sa.Integer, nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("judged_at_s", sa.Double, nullable=False),
    )
    for column in ("item_id", "project", "rater_id"):
        name = f"ix_judgement_{column.removesuffix('_id')}_seq"
        op.create_index(name, "judgement", [column, "seq"])


def _seq() -> "sa.Column[int]":
    return sa.Column("seq", sa.Integer, sa.ForeignKey("event.seq"), nullable=False, unique=True)
