"""A lane of its own for items that a worker died holding.

On PostgreSQL the index of pending items is built anew under a lock; with few items pending that takes a moment.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_DUE = sa.text("state = 'pending' AND due_at IS NOT NULL AND crashes = 0")
_SUSPECTS = sa.text("crashes > 0")


def upgrade() -> None:
    op.drop_index("ix_items_due", "items")
    op.create_index("ix_items_due", "items", ["batch_id", "due_at"], postgresql_where=_DUE, sqlite_where=_DUE)
    op.create_index(
        "ix_items_suspects",
        "items",
        ["state", "crashes", "due_at", "id"],
        postgresql_where=_SUSPECTS,
        sqlite_where=_SUSPECTS,
    )
