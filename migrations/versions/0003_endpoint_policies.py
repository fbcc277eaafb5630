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
        sa.Column("schedule", sa.Text(), comment="name of a schedule of retries; null: the batch's, or the default"),
        sa.Column("rate", sa.Float(), comment="requests a second at the most; null: no limit"),
        sa.Column("burst", sa.Integer(), comment="requests that may start at once although `rate` is lower"),
        sa.Column("ordering", sa.Text(), comment="endpoint or batch: one delivery of each at a time; null: unordered"),
        sa.Column(
            "max_block_seconds",
            sa.Float(),
            comment="an ordered delivery that failed holds up others this long; null: ever",
        ),
        sa.Column("coalesce_items", sa.Integer(), comment="items that travel in one request at the most; null: one"),
        sa.Column("coalesce_ms", sa.Integer(), comment="how long an item waits for company"),
        sa.Column("headers", sa.Text(), comment="added to requests; encrypted"),
        sa.Column("secrets", sa.Text(), comment="that sign, with their expiry; encrypted; null: those of the settings"),
        sa.Column(
            "paid_until",
            sa.DateTime(timezone=True),
            comment="the requests that `rate` has let start are paid for until then",
        ),
        sa.Column("open_until", sa.DateTime(timezone=True), comment="the breaker is not closed: no request before"),
        sa.Column(
            "trips",
            sa.Integer(),
            nullable=False,
            server_default="0",
            comment="times the breaker opened since a success",
        ),
        sa.Column(
            "closed_at",
            sa.DateTime(timezone=True),
            comment="when the breaker closed again: the backlog is released at a ramp from then on",
        ),
        sa.Column("window_started_at", sa.DateTime(timezone=True), comment="of the breaker's counts"),
        sa.Column("window_attempts", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("window_failures", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("failing_since", sa.DateTime(timezone=True), comment="first failure since a success"),
        sa.Column("last_failure_at", sa.DateTime(timezone=True)),
        sa.Column(
            "failing_events",
            sa.Integer(),
            nullable=False,
            server_default="0",
            comment="that failed since a success",
        ),
        sa.Column("last_success_at", sa.DateTime(timezone=True), comment="to the minute"),
        sa.Column("warned", sa.Integer(), nullable=False, server_default="0", comment="warnings given since a success"),
    )


def _of_batches() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("schedule", sa.Text(), comment="name of a schedule for its callbacks; null: the default"),
        sa.Column("fallback_url", sa.Text(), comment="receives delivery.exhausted"),
    )


def _of_attempts() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("bundle_id", sa.BigInteger(), comment="of an attempt at deliveries that travel together"),
        sa.Column("trigger", sa.Text(), comment="manual: by request; null: by the schedule"),
        sa.Column("answer", sa.Text(), comment="the first bytes of the answer's body"),
    )


def _of_deliveries() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("bundle_id", sa.BigInteger(), comment="the request it travels in with others; null: alone"),
        sa.Column(
            "is_alone",
            sa.Boolean(),
            nullable=False,
            server_default=sa.text("false"),
            comment="it left its bundle by a replay",
        ),
        sa.Column("lane", sa.Text(), comment="of those with the same, one at a time, by id; null: unordered"),
        sa.Column(
            "replays",
            sa.Integer(),
            nullable=False,
            server_default="0",
            comment="attempts by request: they spend no budget",
        ),
        sa.Column("trigger", sa.Text(), comment="manual: the next attempt is by request; null: by the schedule"),
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
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, comment="the timestamp of its body"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bundles")),
        sa.UniqueConstraint("webhook_id", name=op.f("uq_bundles_webhook_id")),
        comment="Deliveries that travel in one request: the same ones, in the same order, at every attempt",
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
        comment="What happened to endpoints, for people",
    )
    op.create_index("ix_notices_origin", "notices", ["origin", "id"])
