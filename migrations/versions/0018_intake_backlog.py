"""How many messages wait in the source of an intake."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    comment = "messages that waited in the source, about, when it was last asked"
    op.add_column("intakes", sa.Column("backlog", sa.BigInteger(), nullable=True, comment=comment))
    op.add_column("intakes", sa.Column("backlog_at", sa.DateTime(timezone=True), nullable=True))
