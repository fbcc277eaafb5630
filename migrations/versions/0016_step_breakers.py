"""Breakers of enrichers that are open."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.create_table(
        "step_breakers",
        sa.Column("definition_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("open_until", sa.DateTime(timezone=True), nullable=False, comment="when the next probe is due"),
        sa.Column("failures", sa.Integer(), nullable=False, comment="of the last `calls`"),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("probes", sa.Integer(), nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("definition_id", "step", name=op.f("pk_step_breakers")),
        comment="Enrichers whose items wait, since the service behind them refuses everybody",
    )
