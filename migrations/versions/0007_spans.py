"""A first attempt that succeeds stands on its delivery, without a row in `attempts`.

Adding columns without a default rewrites no table. Deliveries of before keep the rows of their attempts.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_ATTEMPTS = "Attempts, except those that succeeded at a stage or as the first at a delivery: these stand there"


def upgrade() -> None:
    op.add_column(
        "deliveries",
        sa.Column(
            "started_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="start of its first attempt, if that succeeded; null: see attempts",
        ),
    )
    op.add_column(
        "deliveries",
        sa.Column("answer", sa.Text(), nullable=True, comment="first bytes of the response to that attempt"),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.create_table_comment("attempts", _ATTEMPTS)
