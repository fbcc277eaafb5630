"""Alerts: episodes that an operator has to know about, at most one open for each key."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

_FIRING = sa.text("state = 'firing'")
_RESOLVED = sa.text("state = 'resolved'")
_OF_BATCH = sa.text("batch_id IS NOT NULL")


def upgrade() -> None:
    op.create_table(
        "alerts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("public_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False, comment="the rule or guard that fired"),
        sa.Column("key", sa.Text(), nullable=False, comment="what it is about; at most one alert of a key fires"),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("batch_id", sa.BigInteger(), nullable=True),
        sa.Column("origin", sa.Text(), nullable=True, comment="the endpoint"),
        sa.Column("value", sa.Text(), nullable=False, comment="JSON; what was measured, and what is tolerated"),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True, comment="why it is resolved"),
        sa.CheckConstraint("severity IN ('info', 'warning', 'error', 'critical')", name=op.f("ck_alerts_severity")),
        sa.CheckConstraint("state IN ('firing', 'resolved')", name=op.f("ck_alerts_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alerts")),
        sa.UniqueConstraint("public_id", name=op.f("uq_alerts_public_id")),
        comment="Episodes that an operator has to know about",
    )
    for name, columns, condition in (
        ("uq_alerts_firing", ["key"], _FIRING),
        ("ix_alerts_batch", ["batch_id", "id"], _OF_BATCH),
        ("ix_alerts_resolved", ["resolved_at"], _RESOLVED),
    ):
        op.create_index(
            name, "alerts", columns, unique=name.startswith("uq"), postgresql_where=condition, sqlite_where=condition
        )
