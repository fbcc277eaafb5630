"""What the HTTP API stores: keys, sessions, tokens, parts of uploads, definitions by name, replaced payloads; tenants.

An idempotency key becomes unique within a tenant. SQLite cannot drop a constraint: the table of batches, which is small
next to that of items, is written anew there, and keeps the number from which ids go on.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_KEYED = sa.text("idempotency_key IS NOT NULL")
_TENANT = sa.Column("tenant", sa.Text(), nullable=False, server_default="default", comment="whose API keys see it")
_BODY_DIGEST = sa.Column(
    "body_digest", sa.Text(), nullable=True, comment="SHA-256 of the body that it was submitted with over HTTP"
)


def upgrade() -> None:
    _separate_tenants()
    _keep_who_may_call()
    _keep_uploads_and_definitions()


def _separate_tenants() -> None:
    if op.get_bind().dialect.name == "sqlite":
        _rewrite_batches()
    else:
        op.add_column("batches", _TENANT)
        op.add_column("batches", _BODY_DIGEST)
        op.drop_constraint("uq_batches_idempotency_key", "batches")
    op.create_index(
        "uq_batches_tenant_idempotency_key",
        "batches",
        ["tenant", "idempotency_key"],
        unique=True,
        postgresql_where=_KEYED,
        sqlite_where=_KEYED,
    )
    op.create_index("ix_batches_tenant", "batches", ["tenant", "id"])
    owner = sa.Column(
        "tenant", sa.Text(), nullable=True, comment="whose callbacks its secrets and headers are for; null: everybody's"
    )
    op.add_column("endpoints", owner)


def _rewrite_batches() -> None:
    connection = op.get_bind()
    # The id of a pruned batch is never given again: its items may still be there.
    last = connection.scalar(sa.text("SELECT seq FROM sqlite_sequence WHERE name = 'batches'"))
    with op.batch_alter_table("batches", recreate="always", table_kwargs={"sqlite_autoincrement": True}) as table:
        table.add_column(_TENANT)
        table.add_column(_BODY_DIGEST)
        table.drop_constraint("uq_batches_idempotency_key", type_="unique")
    connection.execute(sa.text("DELETE FROM sqlite_sequence WHERE name = 'batches'"))
    if last is not None:
        connection.execute(sa.text("INSERT INTO sqlite_sequence (name, seq) VALUES ('batches', :last)"), {"last": last})


def _keep_who_may_call() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False, comment="SHA-256 of the key"),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False, comment="whose batches it sees; *: all"),
        sa.Column("scopes", sa.Text(), nullable=False, comment="separated by spaces"),
        sa.Column("rate", sa.Float(), nullable=False, comment="requests per second"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True, comment="accurate to a minute"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        comment="Who may use the HTTP API",
    )
    op.create_table(
        "sessions",
        sa.Column("digest", sa.Text(), nullable=False, comment="SHA-256 of the cookie"),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_sessions")),
        comment="Browsers that signed in to the web page with an API key",
    )
    op.create_table(
        "stream_tokens",
        sa.Column("digest", sa.Text(), nullable=False, comment="SHA-256 of the token"),
        sa.Column("key_id", sa.Text(), nullable=True, comment="null: made without a key, on loopback"),
        sa.Column("batch_id", sa.BigInteger(), nullable=False, comment="the one batch that it may read"),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_stream_tokens")),
        comment="Short-lived credentials in URLs, for browsers that cannot send a header",
    )


def _keep_uploads_and_definitions() -> None:
    op.create_table(
        "batch_parts",
        sa.Column("batch_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "number", sa.Integer(), autoincrement=False, nullable=False, comment="from 1; the order of the items"
        ),
        sa.Column("sha256", sa.Text(), nullable=False, comment="of its body"),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("items", sa.BigInteger(), nullable=False),
        sa.Column("rejected", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("batch_id", "number", name=op.f("pk_batch_parts")),
        comment="Parts of batches that are uploaded in parts",
    )
    op.create_table(
        "named_definitions",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False, comment="of the row in definitions"),
        sa.Column("key_id", sa.Text(), nullable=True, comment="who stored it"),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "name", name=op.f("pk_named_definitions")),
        comment="Definitions that were stored over HTTP: what a name means now",
    )
    op.create_table(
        "replays",
        sa.Column("item_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=True, comment="who asked for it"),
        sa.Column("payload", sa.Text(), nullable=False, comment="JSON object; the one before"),
        sa.PrimaryKeyConstraint("item_id", "at", name=op.f("pk_replays")),
        comment="Payloads that were replaced when an item was replayed",
    )
