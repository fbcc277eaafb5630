"""Where a batch's items come from, and how far a submission that can be resumed has read them.

Adding columns without a default rewrites no table.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    source = sa.Column("source", sa.Text(), nullable=True, comment="JSON; what a resumable submission reads")
    cursor = sa.Column("cursor", sa.Text(), nullable=True, comment="JSON; how far it has come; null: it cannot go on")
    op.add_column("batches", source)
    op.add_column("batches", cursor)
