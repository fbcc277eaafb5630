"""Alerts: one row for each time that something went wrong, with when it began and ended."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

_FIRING = sa.text("state = 'firing'")
_ANNOUNCE = sa.text("announce IS NOT NULL")


def upgrade() -> None:
    op.create_table(
        "alerts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False),
        sa.Column("public_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False, comment="the rule or the guard"),
        sa.Column("key", sa.Text(), nullable=False, comment="what it is about: at most one alert of a key fires"),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("batch_id", sa.BigInteger(), nullable=True, comment="null: it is about no batch"),
        sa.Column("origin", sa.Text(), nullable=True, comment="an endpoint or a channel; null: it is about none"),
        sa.Column("value", sa.Text(), nullable=False, comment="JSON; the evidence"),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True, comment="why it was resolved"),
        sa.Column(
            "announce",
            sa.Text(),
            nullable=True,
            comment="the change that channels have yet to be told: firing or resolved",
        ),
        sa.Column("resolved_by", sa.Text(), nullable=True, comment="who resolved it; null: pipeline"),
        sa.CheckConstraint("state IN ('firing', 'resolved')", name=op.f("ck_alerts_state")),
        sa.CheckConstraint("severity IN ('info', 'warning', 'error', 'critical')", name=op.f("ck_alerts_severity")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alerts")),
        sa.UniqueConstraint("public_id", name=op.f("uq_alerts_public_id")),
        comment="What went wrong, from when until when; one row for each episode",
        sqlite_autoincrement=True,
    )
    op.create_index("uq_alerts_firing", "alerts", ["key"], unique=True, postgresql_where=_FIRING, sqlite_where=_FIRING)
    op.create_index("ix_alerts_announce", "alerts", ["id"], postgresql_where=_ANNOUNCE, sqlite_where=_ANNOUNCE)
