"""Where the spans of a batch and its items belong.

Both columns are empty for what is stored already: such batches have no caller, and replays count from now on.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    of_submission = "W3C trace context of its submission; sampled: its items are in that trace"
    op.add_column("batches", sa.Column("traceparent", sa.Text(), nullable=True, comment=of_submission))
    op.add_column(
        "items",
        sa.Column("replays", sa.Integer(), nullable=False, server_default="0", comment="times a user had it run again"),
    )
