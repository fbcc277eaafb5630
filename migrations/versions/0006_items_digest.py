"""A digest of a batch's items: another submission with its idempotency key must have the same items.

Batches of before have none, and are not compared. Adding a column without a default rewrites no table.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    column = sa.Column("items_digest", sa.Text(), nullable=True, comment="SHA-256; null: no idempotency key")
    op.add_column("batches", column)
