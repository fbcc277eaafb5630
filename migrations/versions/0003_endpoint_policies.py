"""Endpoints: settings of their own, and what is known of their health; deliveries that travel together or in order.

Only columns that may be null or have a default, and new tables: nothing is rewritten.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def _of_endpoints() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("schedule", sa.Text(), comment="retry schedule; null: that of the batch, or the default"),
        sa.Column("rate", sa.Float(), comment="most requests per second; null: no limit"),
        sa.Column("burst", sa.Integer(), comment="requests that may start at once, above `rate`"),
        sa.Column("ordering", sa.Text(), comment="endpoint or batch: one delivery of each at a time; null: unordered"),
        sa.Column(
            "max_block_seconds",
            sa.Float(),
            comment="how long a failed delivery blocks its lane; null: until it is final",
        ),
        sa.Column("coalesce_items", sa.Integer(), comment="most items in one request; null: one"),
        sa.Column("coalesce_ms", sa.Integer(), comment="how long an item waits for others to join its request"),
        sa.Column("headers", sa.Text(), comment="added to requests; encrypted"),
        sa.Column(
            "secrets", sa.Text(), comment="signing secrets with their expiry; encrypted; null: those of the settings"
        ),
        sa.Column(
            "paid_until",
            sa.DateTime(timezone=True),
            comment="until when started requests have used up `rate`",
        ),
        sa.Column(
            "open_until", sa.DateTime(timezone=True), comment="the breaker is not closed: no request before this time"
        ),
        sa.Column(
            "trips",
            sa.Integer(),
            nullable=False,
            server_default="0",
            comment="times it opened since the last success",
        ),
        sa.Column(
            "closed_at",
            sa.DateTime(timezone=True),
            comment="when the breaker closed: the backlog is then released at a growing rate",
        ),
        sa.Column(
            "window_started_at", sa.DateTime(timezone=True), comment="start of the window that the breaker counts in"
        ),
        sa.Column("window_attempts", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("window_failures", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("failing_since", sa.DateTime(timezone=True), comment="first failure since the last success"),
        sa.Column("last_failure_at", sa.DateTime(timezone=True)),
        sa.Column(
            "failing_events",
            sa.Integer(),
            nullable=False,
            server_default="0",
            comment="events failed since the last success",
        ),
        sa.Column("last_success_at", sa.DateTime(timezone=True), comment="accurate to a minute"),
        sa.Column(
            "warned", sa.Integer(), nullable=False, server_default="0", comment="warnings since the last success"
        ),
    )


def _of_batches() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("schedule", sa.Text(), comment="retry schedule of its callbacks; null: the default"),
        sa.Column("fallback_url", sa.Text(), comment="receives delivery.exhausted"),
    )


def _of_attempts() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("bundle_id", sa.BigInteger(), comment="set for an attempt at a bundle of deliveries"),
        sa.Column("trigger", sa.Text(), comment="manual: a user asked for it; null: the schedule did"),
        sa.Column("answer", sa.Text(), comment="first bytes of the response body"),
    )


def _of_deliveries() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("bundle_id", sa.BigInteger(), comment="bundle it is sent in; null: sent alone"),
        sa.Column(
            "is_alone",
            sa.Boolean(),
            nullable=False,
            server_default=sa.text("false"),
            comment="replayed apart from its bundle",
        ),
        sa.Column("lane", sa.Text(), comment="deliveries of one lane are sent one at a time, by id; null: unordered"),
        sa.Column(
            "replays",
            sa.Integer(),
            nullable=False,
            server_default="0",
            comment="attempts that a user asked for",
        ),
        sa.Column("trigger", sa.Text(), comment="manual: a user asked for the next attempt; null: the schedule did"),
    )


def upgrade() -> None:
    _add("endpoints", _of_endpoints())
    _add("batches", _of_batches())
    _add("attempts", _of_attempts())
    _add("deliveries", _of_deliveries())
    _create_indexes()
    _create_bundles()
    _create_notices()


def _add(table: str, columns: tuple[sa.Column[Any], ...]) -> None:
    for column in columns:
        op.add_column(table, column)


def _create_indexes() -> None:
    pending, stopped = sa.text("state = 'pending'"), sa.text("state IN ('paused', 'dead')")
    retried = sa.text("(CAST(attempt > 0 AS INTEGER))")
    op.drop_index("ix_deliveries_due", "deliveries")
    op.create_index(
        "ix_deliveries_due",
        "deliveries",
        ["origin", retried, "due_at", "id"],
        postgresql_where=pending,
        sqlite_where=pending,
    )
    op.create_index(
        "ix_deliveries_stopped",
        "deliveries",
        ["origin", "state", "id"],
        postgresql_where=stopped,
        sqlite_where=stopped,
    )
    lane = sa.text("lane IS NOT NULL AND state IN ('pending', 'sending')")
    op.create_index("ix_deliveries_lane", "deliveries", ["lane", "id"], postgresql_where=lane, sqlite_where=lane)
    bundled = sa.text("bundle_id IS NOT NULL")
    for table in ("deliveries", "attempts"):
        op.create_index(f"ix_{table}_bundle", table, ["bundle_id"], postgresql_where=bundled, sqlite_where=bundled)


def _create_bundles() -> None:
    op.create_table(
        "bundles",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("webhook_id", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, comment="timestamp of its body"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bundles")),
        sa.UniqueConstraint("webhook_id", name=op.f("uq_bundles_webhook_id")),
        comment="Deliveries sent in one request: the same ones in the same order at every attempt",
    )


def _create_notices() -> None:
    op.create_table(
        "notices",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False, comment="endpoint.failing, endpoint.disabled, endpoint.opened, …"),
        sa.Column("detail", sa.Text()),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notices")),
        comment="What happened to endpoints, for users to read",
    )
    op.create_index("ix_notices_origin", "notices", ["origin", "id"])
