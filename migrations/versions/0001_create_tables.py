"""Create all tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    _create_definitions()
    _create_batches()
    _create_items()
    _create_events()
    _create_deliveries()
    _create_attempts()
    _create_endpoints()
    _create_leases()


def _create_definitions() -> None:
    op.create_table(
        "definitions",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False, comment="hash of the content"),
        sa.Column("content", sa.Text(), nullable=False, comment="JSON; what workers run"),
        sa.Column("stages", sa.Text(), nullable=False, comment="comma-separated, in order"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_definitions")),
        sa.UniqueConstraint("version", name=op.f("uq_definitions_version")),
        comment="Classifier, enrichers and rules; a batch keeps the version it was submitted with",
    )


def _create_batches() -> None:
    op.create_table(
        "batches",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("public_id", sa.Text(), nullable=False),
        sa.Column("definition_id", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("succeeded", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("dead", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("cancelled", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column(
            "next_seq", sa.BigInteger(), server_default="1", nullable=False, comment="seq of the batch's next event"
        ),
        sa.Column("fair_key", sa.Text(), nullable=False, comment="batches with the same key share its capacity"),
        sa.Column("weight", sa.Integer(), server_default="1", nullable=False),
        sa.Column("callback_url", sa.Text(), nullable=True, comment="receives the events of all items"),
        sa.Column("batch_callback_url", sa.Text(), nullable=True, comment="receives batch.completed"),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("deadline", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('accepting', 'running', 'paused', 'completed', 'cancelled')", name=op.f("ck_batches_state")
        ),
        sa.CheckConstraint("weight > 0", name=op.f("ck_batches_weight")),
        sa.ForeignKeyConstraint(["definition_id"], ["definitions.id"], name=op.f("fk_batches_definition_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batches")),
        sa.UniqueConstraint("idempotency_key", name=op.f("uq_batches_idempotency_key")),
        sa.UniqueConstraint("public_id", name=op.f("uq_batches_public_id")),
        comment="What a user submits: many items, one definition",
    )
    op.create_index(
        "ix_batches_open",
        "batches",
        ["id"],
        unique=False,
        postgresql_where=sa.text("completed_at IS NULL"),
        sqlite_where=sa.text("completed_at IS NULL"),
    )


def _create_items() -> None:
    op.create_table(
        "items",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
            comment="batch_id * 2^32 + position",
        ),
        sa.Column("batch_id", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False, comment="position in the input, from 1"),
        sa.Column("key", sa.Text(), nullable=True, comment="the user's own id"),
        sa.Column("payload", sa.Text(), nullable=False, comment="JSON object"),
        sa.Column("callback_url", sa.Text(), nullable=True),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column(
            "epoch", sa.Integer(), server_default="0", nullable=False, comment="fencing number, +1 at each release"
        ),
        sa.Column(
            "attempt", sa.Integer(), server_default="0", nullable=False, comment="attempt at the current stage, from 1"
        ),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False, comment="attempts at all stages"),
        sa.Column(
            "snoozes",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="times put off without counting an attempt",
        ),
        sa.Column(
            "crashes", sa.Integer(), server_default="0", nullable=False, comment="workers that died while they held it"
        ),
        sa.Column(
            "due_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="earliest next release; null: never released, due now",
        ),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("label", sa.Text(), nullable=True),
        sa.Column("confidence", sa.Float(), nullable=True),
        sa.Column("classification", sa.Text(), nullable=True, comment="JSON"),
        sa.Column("enrichment", sa.Text(), nullable=True, comment="JSON"),
        sa.Column("error_kind", sa.Text(), nullable=True),
        sa.Column("error_type", sa.Text(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("error_stage", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("queued_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("classified_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('pending', 'queued', 'running', 'succeeded', 'dead', 'cancelled')", name=op.f("ck_items_state")
        ),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name=op.f("fk_items_batch_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_items")),
        comment="The smallest unit of work: workers claim it, and each has one result",
    )
    op.create_index(
        "ix_items_dead",
        "items",
        ["batch_id", "id"],
        unique=False,
        postgresql_where=sa.text("state = 'dead'"),
        sqlite_where=sa.text("state = 'dead'"),
    )
    op.create_index(
        "ix_items_due",
        "items",
        ["batch_id", "due_at"],
        unique=False,
        postgresql_where=sa.text("state = 'pending' AND due_at IS NOT NULL"),
        sqlite_where=sa.text("state = 'pending' AND due_at IS NOT NULL"),
    )
    op.create_index(
        "ix_items_fresh",
        "items",
        ["batch_id", "id"],
        unique=False,
        postgresql_where=sa.text("state = 'pending' AND due_at IS NULL"),
        sqlite_where=sa.text("state = 'pending' AND due_at IS NULL"),
    )
    op.create_index(
        "ix_items_in_flight",
        "items",
        ["batch_id", "lease_until"],
        unique=False,
        postgresql_where=sa.text("state IN ('queued', 'running')"),
        sqlite_where=sa.text("state IN ('queued', 'running')"),
    )
    op.create_index(
        "uq_items_batch_id_key",
        "items",
        ["batch_id", "key"],
        unique=True,
        postgresql_where=sa.text("key IS NOT NULL"),
        sqlite_where=sa.text("key IS NOT NULL"),
    )


def _create_events() -> None:
    op.create_table(
        "events",
        sa.Column("batch_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "seq", sa.BigInteger(), nullable=False, comment="position in the batch's log: without gaps, in commit order"
        ),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("item_id", sa.BigInteger(), nullable=True, comment="null: the event is about the batch"),
        sa.Column("body", sa.LargeBinary(), nullable=False, comment="the bytes that every attempt sends"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name=op.f("fk_events_batch_id")),
        sa.PrimaryKeyConstraint("batch_id", "seq", name=op.f("pk_events")),
        comment="The ordered log that every way of delivery reads",
    )


def _create_deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("batch_id", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False, comment="the endpoint: scheme://host:port"),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("last_status", sa.Integer(), nullable=True, comment="HTTP status of the last response"),
        sa.Column("last_error", sa.Text(), nullable=True, comment="code of the last failure"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('pending', 'sending', 'delivered', 'dead', 'paused', 'cancelled')",
            name=op.f("ck_deliveries_state"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
        comment="One event to send to one URL",
    )
    op.create_index(
        "ix_deliveries_due",
        "deliveries",
        ["origin", "due_at", "id"],
        unique=False,
        postgresql_where=sa.text("state = 'pending'"),
        sqlite_where=sa.text("state = 'pending'"),
    )
    op.create_index(
        "ix_deliveries_sending",
        "deliveries",
        ["lease_until"],
        unique=False,
        postgresql_where=sa.text("state = 'sending'"),
        sqlite_where=sa.text("state = 'sending'"),
    )
    op.create_index("uq_deliveries_event", "deliveries", ["batch_id", "seq", "url"], unique=True)


def _create_attempts() -> None:
    op.create_table(
        "attempts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("item_id", sa.BigInteger(), nullable=True, comment="set for a failed stage attempt"),
        sa.Column("delivery_id", sa.BigInteger(), nullable=True, comment="set for a delivery attempt"),
        sa.Column("stage", sa.Text(), nullable=False, comment="classify, enrich or deliver"),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False, comment="succeeded, retry, snoozed or dead"),
        sa.Column("status", sa.Integer(), nullable=True, comment="HTTP status"),
        sa.Column("error_type", sa.Text(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempts")),
        comment="Failed stage attempts and all delivery attempts; the columns of items hold the stages that succeeded",
    )
    op.create_index(
        "ix_attempts_delivery",
        "attempts",
        ["delivery_id"],
        unique=False,
        postgresql_where=sa.text("delivery_id IS NOT NULL"),
        sqlite_where=sa.text("delivery_id IS NOT NULL"),
    )
    op.create_index(
        "ix_attempts_item",
        "attempts",
        ["item_id"],
        unique=False,
        postgresql_where=sa.text("item_id IS NOT NULL"),
        sqlite_where=sa.text("item_id IS NOT NULL"),
    )


def _create_endpoints() -> None:
    op.create_table(
        "endpoints",
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column(
            "not_before",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="the receiver asked for no request before this time",
        ),
        sa.Column("consecutive_failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("in_flight_cap", sa.Integer(), nullable=True, comment="null: the default"),
        sa.Column("breaker", sa.Text(), server_default="closed", nullable=False),
        sa.Column("disabled_reason", sa.Text(), nullable=True, comment="null: enabled"),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("origin", name=op.f("pk_endpoints")),
        comment="Receivers: one row for each scheme, host and port that ever failed or was configured",
    )


def _create_leases() -> None:
    op.create_table(
        "leases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
        comment="Leases on work that only one process may do at a time",
    )
