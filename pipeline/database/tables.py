"""The schema. The migrations produce exactly this from an empty database; a test compares them.

JSON is stored as the text that was given, so that nothing is reordered or rounded.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    DDL,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    event,
    text,
)

from pipeline.database.instant import Instant

#: SQL: 0 for a delivery that was never tried, 1 for one that was. Statements must contain it exactly as the index does.
RETRIED = "(CAST(attempt > 0 AS INTEGER))"
#: An item's id is the id of its batch times this, plus its position, so the id alone identifies both.
POSITIONS_PER_BATCH = 2**32


# SQLite assigns ids only to an INTEGER PRIMARY KEY.
_Id = BigInteger().with_variant(Integer, "sqlite")

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


def _instant(name: str, **options: Any) -> Column[datetime]:
    return Column(name, Instant, **options)


def _where(condition: str) -> dict[str, Any]:
    """Return the condition of a partial index, for both databases."""
    return {"postgresql_where": text(condition), "sqlite_where": text(condition)}


definitions = Table(
    "definitions",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("name", Text, nullable=False),
    Column("version", Text, nullable=False, unique=True, comment="hash of the content"),
    Column("content", Text, nullable=False, comment="JSON; what workers run"),
    Column("stages", Text, nullable=False, comment="comma-separated, in order"),
    _instant("created_at", nullable=False),
    comment="Classifier, enrichers and rules; a batch keeps the version it was submitted with",
)

batches = Table(
    "batches",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("public_id", Text, nullable=False, unique=True),
    Column("definition_id", BigInteger, ForeignKey("definitions.id"), nullable=False),
    Column("state", Text, nullable=False),
    Column("total", BigInteger, nullable=False),
    Column("succeeded", BigInteger, nullable=False, server_default="0"),
    Column("dead", BigInteger, nullable=False, server_default="0"),
    Column("cancelled", BigInteger, nullable=False, server_default="0"),
    Column("next_seq", BigInteger, nullable=False, server_default="1", comment="seq of the batch's next event"),
    Column("fair_key", Text, nullable=False, comment="batches with the same key share its capacity"),
    Column("weight", Integer, nullable=False, server_default="1"),
    Column("callback_url", Text, comment="receives the events of all items"),
    Column("batch_callback_url", Text, comment="receives batch.completed"),
    Column("idempotency_key", Text),
    _instant("deadline"),
    _instant("created_at", nullable=False),
    _instant("started_at"),
    _instant("completed_at"),
    Column("schedule", Text, comment="retry schedule of its callbacks; null: the default"),
    Column("fallback_url", Text, comment="receives delivery.exhausted"),
    Column("items_digest", Text, comment="SHA-256; null: no idempotency key"),
    Column("last_position", BigInteger, comment="null: not accepted yet, or completed before there were spans"),
    Column("tenant", Text, nullable=False, server_default="default", comment="whose API keys see it"),
    Column("body_digest", Text, comment="SHA-256 of the body that it was submitted with over HTTP"),
    Column("source", Text, comment="JSON; what a resumable submission reads"),
    Column("cursor", Text, comment="JSON; how far it has come; null: it cannot go on"),
    Column("intake_id", BigInteger, comment="the intake that fills it; null: it was submitted"),
    Column("paused_by", Text, comment="manual, or guard:NAME; null: it is not paused"),
    Column("max_in_flight", Integer, comment="most items in flight at once; null: as many as the window allows"),
    Column("traceparent", Text, comment="W3C trace context of its submission; sampled: its items are in that trace"),
    CheckConstraint("state IN ('accepting', 'open', 'running', 'paused', 'completed', 'cancelled')", name="state"),
    CheckConstraint("weight > 0", name="weight"),
    Index("uq_batches_tenant_idempotency_key", "tenant", "idempotency_key", unique=True,
          **_where("idempotency_key IS NOT NULL")),
    Index("ix_batches_tenant", "tenant", "id"),
    Index("ix_batches_open", "id", **_where("completed_at IS NULL")),
    Index("ix_batches_definition", "definition_id"),
    comment="What a user submits: many items, one definition",
    sqlite_autoincrement=True,  # no id is reused: rows of a pruned batch may still exist
)  # fmt: skip

items = Table(
    "items",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=False, comment="batch_id * 2^32 + position"),
    # No foreign key here and below: a pruned batch is deleted before its items, events and deliveries.
    Column("batch_id", BigInteger, nullable=False),
    Column("position", BigInteger, nullable=False, comment="position in the input, from 1"),
    Column("key", Text, comment="the user's own id"),
    Column("payload", Text, nullable=False, comment="JSON object"),
    Column("callback_url", Text),
    Column("stage", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("epoch", Integer, nullable=False, server_default="0", comment="fencing number, +1 at each release"),
    Column("attempt", Integer, nullable=False, server_default="0", comment="attempt at the current stage, from 1"),
    Column("attempts", Integer, nullable=False, server_default="0", comment="attempts at all stages"),
    Column("snoozes", Integer, nullable=False, server_default="0", comment="times put off without counting an attempt"),
    Column("crashes", Integer, nullable=False, server_default="0", comment="workers that died while they held it"),
    _instant("due_at", comment="earliest next release; null: never released, due now"),
    _instant("lease_until"),
    Column("worker", Text),
    Column("label", Text),
    Column("confidence", Float),
    Column("classification", Text, comment="JSON"),
    Column("enrichment", Text, comment="JSON"),
    Column("error_kind", Text),
    Column("error_type", Text),
    Column("error_message", Text),
    Column("error_stage", Text),
    Column("cause", Text, comment="hash of what it died of; null: it is not dead"),
    _instant("created_at", nullable=False),
    _instant("queued_at"),
    _instant("started_at"),
    _instant("classified_at"),
    _instant("finished_at"),
    Column("replays", Integer, nullable=False, server_default="0", comment="times a user had it run again"),
    CheckConstraint(
        "state IN ('pending', 'queued', 'running', 'succeeded', 'dead', 'cancelled')", name="state"
    ),
    Index("uq_items_batch_id_key", "batch_id", "key", unique=True, **_where("key IS NOT NULL")),
    # Items that wait for their due_at. Fresh items need no index: `unreleased` and `spans` say where they are.
    Index("ix_items_due", "batch_id", "due_at",
          **_where("state = 'pending' AND due_at IS NOT NULL AND crashes = 0")),
    # A second queue: items that a worker died holding.
    Index("ix_items_suspects", "state", "crashes", "due_at", "id", **_where("crashes > 0")),
    # Bounded by the dispatch window, however large the batches are.
    Index("ix_items_in_flight", "batch_id", "lease_until",
          **_where("state IN ('queued', 'running')")),
    Index("ix_items_dead", "batch_id", "id", **_where("state = 'dead'")),
    Index("ix_items_cause", "batch_id", "cause", "id", **_where("state = 'dead'")),
    comment="The smallest unit of work: workers claim it, and each has one result",
)  # fmt: skip

# Apart from `batches`, whose rows are locked nearly all the time by the transactions that record results.
unreleased = Table(
    "unreleased",
    metadata,
    Column("batch_id", BigInteger, primary_key=True, autoincrement=False),
    Column("first", BigInteger, nullable=False, comment="the next position to release, up to the batch's last one"),
    comment="Batches with positions that were never released",
)

spans = Table(
    "spans",
    metadata,
    Column("batch_id", BigInteger, primary_key=True, autoincrement=False),
    Column("first", BigInteger, primary_key=True, autoincrement=False, comment="first position"),
    Column("last", BigInteger, nullable=False, comment="last position"),
    _instant("released_at", nullable=False),
    _instant("lease_until", nullable=False),
    Column("worker", Text, comment="process whose memory holds the messages; null: a broker does"),
    comment="Positions released together; an item of one is pending until a worker claims it",
)

events = Table(
    "events",
    metadata,
    Column("batch_id", BigInteger, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, primary_key=True, comment="position in the batch's log: without gaps, in commit order"),
    Column("type", Text, nullable=False),
    Column("item_id", BigInteger, comment="null: the event is about the batch"),
    Column("body", LargeBinary, nullable=False, comment="the bytes that every attempt sends"),
    _instant("created_at", nullable=False),
    comment="The ordered log that every way of delivery reads",
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("batch_id", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("url", Text, nullable=False),
    Column("origin", Text, nullable=False, comment="the endpoint: scheme://host:port"),
    Column("state", Text, nullable=False),
    Column("attempt", Integer, nullable=False, server_default="0"),
    _instant("due_at", nullable=False),
    _instant("lease_until"),
    Column("worker", Text),
    Column("last_status", Integer, comment="HTTP status of the last response"),
    Column("last_error", Text, comment="code of the last failure"),
    _instant("created_at", nullable=False),
    _instant("finished_at"),
    Column("bundle_id", BigInteger, comment="bundle it is sent in; null: sent alone"),
    Column("is_alone", Boolean, nullable=False, server_default=text("false"), comment="replayed apart from its bundle"),
    Column("lane", Text, comment="deliveries of one lane are sent one at a time, by id; null: unordered"),
    Column("replays", Integer, nullable=False, server_default="0", comment="attempts that a user asked for"),
    Column("trigger", Text, comment="manual: a user asked for the next attempt; null: the schedule did"),
    _instant("started_at", comment="start of its first attempt, if that succeeded; null: see attempts"),
    Column("answer", Text, comment="first bytes of the response to that attempt"),
    CheckConstraint("state IN ('pending', 'sending', 'delivered', 'dead', 'paused', 'cancelled')", name="state"),
    Index("uq_deliveries_event", "batch_id", "seq", "url", unique=True),
    # First attempts and retries of an endpoint are separate, so that neither waits behind the other.
    Index("ix_deliveries_due", "origin", text(RETRIED), "due_at", "id", **_where("state = 'pending'")),
    Index("ix_deliveries_stopped", "origin", "state", "id", **_where("state IN ('paused', 'dead')")),
    Index("ix_deliveries_sending", "lease_until", **_where("state = 'sending'")),
    Index("ix_deliveries_lane", "lane", "id",
          **_where("lane IS NOT NULL AND state IN ('pending', 'sending')")),
    Index("ix_deliveries_bundle", "bundle_id", **_where("bundle_id IS NOT NULL")),
    comment="One event to send to one URL",
)  # fmt: skip

attempts = Table(
    "attempts",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("item_id", BigInteger, comment="set for a failed stage attempt"),
    Column("delivery_id", BigInteger, comment="set for a delivery attempt"),
    Column("stage", Text, nullable=False, comment="classify, enrich or deliver"),
    Column("number", Integer, nullable=False),
    Column("outcome", Text, nullable=False, comment="succeeded, retry, snoozed or dead"),
    Column("status", Integer, comment="HTTP status"),
    Column("error_type", Text),
    Column("error_message", Text),
    _instant("started_at"),
    _instant("ended_at", nullable=False),
    Column("worker", Text),
    Column("bundle_id", BigInteger, comment="set for an attempt at a bundle of deliveries"),
    Column("trigger", Text, comment="manual: a user asked for it; null: the schedule did"),
    Column("answer", Text, comment="first bytes of the response body"),
    Index("ix_attempts_item", "item_id", **_where("item_id IS NOT NULL")),
    Index("ix_attempts_delivery", "delivery_id", **_where("delivery_id IS NOT NULL")),
    Index("ix_attempts_bundle", "bundle_id", **_where("bundle_id IS NOT NULL")),
    comment="Attempts, except those that succeeded at a stage or as the first at a delivery: these stand there",
)  # fmt: skip

endpoints = Table(
    "endpoints",
    metadata,
    Column("origin", Text, primary_key=True),
    _instant("not_before", comment="the receiver asked for no request before this time"),
    Column("consecutive_failures", Integer, nullable=False, server_default="0"),
    Column("in_flight_cap", Integer, comment="null: the default"),
    Column("breaker", Text, nullable=False, server_default="closed"),
    Column("disabled_reason", Text, comment="null: enabled"),
    _instant("disabled_at"),
    _instant("updated_at", nullable=False),
    Column("schedule", Text, comment="retry schedule; null: that of the batch, or the default"),
    Column("rate", Float, comment="most requests per second; null: no limit"),
    Column("burst", Integer, comment="requests that may start at once, above `rate`"),
    Column("ordering", Text, comment="endpoint or batch: one delivery of each at a time; null: unordered"),
    Column("max_block_seconds", Float, comment="how long a failed delivery blocks its lane; null: until it is final"),
    Column("coalesce_items", Integer, comment="most items in one request; null: one"),
    Column("coalesce_ms", Integer, comment="how long an item waits for others to join its request"),
    Column("headers", Text, comment="added to requests; encrypted"),
    Column("secrets", Text, comment="signing secrets with their expiry; encrypted; null: those of the settings"),
    _instant("paid_until", comment="until when started requests have used up `rate`"),
    _instant("open_until", comment="the breaker is not closed: no request before this time"),
    Column("trips", Integer, nullable=False, server_default="0", comment="times it opened since the last success"),
    _instant("closed_at", comment="when the breaker closed: the backlog is then released at a growing rate"),
    _instant("window_started_at", comment="start of the window that the breaker counts in"),
    Column("window_attempts", Integer, nullable=False, server_default="0"),
    Column("window_failures", Integer, nullable=False, server_default="0"),
    _instant("failing_since", comment="first failure since the last success"),
    _instant("last_failure_at"),
    Column(
        "failing_events",
        Integer,
        nullable=False,
        server_default="0",
        comment="events failed since the last success",
    ),
    _instant("last_success_at", comment="accurate to a minute"),
    Column("warned", Integer, nullable=False, server_default="0", comment="warnings since the last success"),
    Column("tenant", Text, comment="whose callbacks its secrets and headers are for; null: everybody's"),
    comment="Receivers: one row for each scheme, host and port that ever failed or was configured",
)

bundles = Table(
    "bundles",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("webhook_id", Text, nullable=False, unique=True),
    Column("url", Text, nullable=False),
    Column("origin", Text, nullable=False),
    _instant("created_at", nullable=False, comment="timestamp of its body"),
    comment="Deliveries sent in one request: the same ones in the same order at every attempt",
)

notices = Table(
    "notices",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("origin", Text, nullable=False),
    Column("type", Text, nullable=False, comment="endpoint.failing, endpoint.disabled, endpoint.opened, …"),
    Column("detail", Text),
    _instant("created_at", nullable=False),
    Column("actor", Text, comment="who did it; null: pipeline"),
    Index("ix_notices_origin", "origin", "id"),
    comment="What happened to endpoints, for users to read",
)

interventions = Table(
    "interventions",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("batch_id", BigInteger, nullable=False),
    Column("action", Text, nullable=False, comment="pause, resume, cancel or replay"),
    Column("actor", Text, nullable=False, comment="user@host, or key:NAME over HTTP"),
    _instant("at", nullable=False),
    Column("affected", BigInteger, comment="items that were replayed"),
    Index("ix_interventions_batch_id_id", "batch_id", "id"),
    comment="What people did to batches",
)

alerts = Table(
    "alerts",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("public_id", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False, comment="the rule or the guard"),
    Column("key", Text, nullable=False, comment="what it is about: at most one alert of a key fires"),
    Column("severity", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("batch_id", BigInteger, comment="null: it is about no batch"),
    Column("origin", Text, comment="an endpoint or a channel; null: it is about none"),
    Column("value", Text, nullable=False, comment="JSON; the evidence"),
    Column("summary", Text, nullable=False),
    _instant("opened_at", nullable=False),
    _instant("resolved_at"),
    Column("reason", Text, comment="why it was resolved"),
    Column("announce", Text, comment="the change that channels have yet to be told: firing or resolved"),
    Column("resolved_by", Text, comment="who resolved it; null: pipeline"),
    CheckConstraint("state IN ('firing', 'resolved')", name="state"),
    CheckConstraint("severity IN ('info', 'warning', 'error', 'critical')", name="severity"),
    Index("uq_alerts_firing", "key", unique=True, **_where("state = 'firing'")),
    Index("ix_alerts_announce", "id", **_where("announce IS NOT NULL")),
    comment="What went wrong, from when until when; one row for each episode",
    sqlite_autoincrement=True,  # no id is reused: the events that report an alert are numbered by it
)

guards = Table(
    "guards",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("batch_id", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("settings", Text, nullable=False, comment="JSON"),
    Column("state", Text, nullable=False, server_default="watching"),
    Column("score", Float, nullable=False, server_default="0", comment="of the sequential test; above 7 it fires"),
    Column("observed", BigInteger, nullable=False, server_default="0", comment="counted since `since`"),
    Column("failed", BigInteger, nullable=False, server_default="0", comment="of these"),
    _instant("since"),
    Column("failures", BigInteger, nullable=False, server_default="0", comment="since the last reset"),
    Column("episode", Integer, nullable=False, server_default="0", comment="times it has fired"),
    _instant("fired_at"),
    Column("summary", Text, comment="what it said when it fired last"),
    _instant("updated_at", nullable=False),
    Column("updated_by", Text, nullable=False, comment="who set it last"),
    CheckConstraint("state IN ('watching', 'fired')", name="state"),
    Index("uq_guards_batch_id_name", "batch_id", "name", unique=True),
    comment="Guards of batches against failures, and what they have counted",
)

step_breakers = Table(
    "step_breakers",
    metadata,
    Column("definition_id", BigInteger, primary_key=True, autoincrement=False),
    Column("step", Text, primary_key=True),
    _instant("opened_at", nullable=False),
    _instant("open_until", nullable=False, comment="when the next probe is due"),
    Column("failures", Integer, nullable=False, comment="of the last `calls`"),
    Column("calls", Integer, nullable=False),
    Column("error", Text, nullable=False),
    Column("probes", Integer, nullable=False, server_default="0"),
    comment="Enrichers whose items wait, since the service behind them refuses everybody",
)

leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    _instant("until", nullable=False),
    comment="Leases on work that only one process may do at a time",
)

pruned = Table(
    "pruned",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False, comment="id of the deleted batch"),
    comment="Deleted batches whose items, events and deliveries are still being deleted",
)

totals = Table(
    "totals",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
    comment="Sums over all batches that outlive them: what deleted batches had",
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("digest", Text, nullable=False, comment="SHA-256 of the key"),
    Column("name", Text, nullable=False),
    Column("tenant", Text, nullable=False, comment="whose batches it sees; *: all"),
    Column("scopes", Text, nullable=False, comment="separated by spaces"),
    Column("rate", Float, nullable=False, comment="requests per second"),
    _instant("created_at", nullable=False),
    _instant("expires_at"),
    _instant("revoked_at"),
    _instant("last_used_at", comment="accurate to a minute"),
    comment="Who may use the HTTP API",
)

sessions = Table(
    "sessions",
    metadata,
    Column("digest", Text, primary_key=True, comment="SHA-256 of the cookie"),
    Column("key_id", Text, nullable=False),
    _instant("expires_at", nullable=False),
    comment="Browsers that signed in to the web page with an API key",
)

stream_tokens = Table(
    "stream_tokens",
    metadata,
    Column("digest", Text, primary_key=True, comment="SHA-256 of the token"),
    Column("key_id", Text, comment="null: made without a key, on loopback"),
    Column("batch_id", BigInteger, nullable=False, comment="the one batch that it may read"),
    _instant("expires_at", nullable=False),
    comment="Short-lived credentials in URLs, for browsers that cannot send a header",
)

batch_parts = Table(
    "batch_parts",
    metadata,
    Column("batch_id", BigInteger, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False, comment="from 1; the order of the items"),
    Column("sha256", Text, nullable=False, comment="of its body"),
    Column("bytes", BigInteger, nullable=False),
    Column("items", BigInteger, nullable=False),
    Column("rejected", BigInteger, nullable=False),
    _instant("created_at", nullable=False),
    comment="Parts of batches that are uploaded in parts",
)

named_definitions = Table(
    "named_definitions",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("version", Text, nullable=False, comment="of the row in definitions"),
    Column("key_id", Text, comment="who stored it"),
    _instant("updated_at", nullable=False),
    comment="Definitions that were stored over HTTP: what a name means now",
)

replays = Table(
    "replays",
    metadata,
    Column("item_id", BigInteger, primary_key=True, autoincrement=False),
    _instant("at", primary_key=True),
    Column("key_id", Text, comment="who asked for it"),
    Column("payload", Text, nullable=False, comment="JSON object; the one before"),
    comment="Payloads that were replaced when an item was replayed",
)

exports = Table(
    "exports",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("batch_id", BigInteger, nullable=False),
    Column("number", Integer, nullable=False, comment="from 1; its place among the exports of its batch"),
    Column("target", Text, nullable=False, comment="where to, with its options; no credentials"),
    Column("state", Text, nullable=False),
    Column("next_seq", BigInteger, nullable=False, server_default="1", comment="first seq that is in no part"),
    Column("parts", BigInteger, nullable=False, server_default="0", comment="stored parts"),
    Column("rows", BigInteger, nullable=False, server_default="0", comment="results in them, or in the table"),
    Column("completions", Integer, nullable=False, server_default="0", comment="times that it was complete"),
    Column("attempts", Integer, nullable=False, server_default="0", comment="failed attempts since the last success"),
    _instant("failing_since"),
    Column("last_error", Text),
    _instant("due_at", nullable=False, comment="earliest next attempt"),
    _instant("lease_until"),
    Column("worker", Text),
    _instant("created_at", nullable=False),
    _instant("finished_at"),
    CheckConstraint("state IN ('running', 'complete', 'failed')", name="state"),
    Index("uq_exports_batch", "batch_id", "number", unique=True),
    Index("ix_exports_running", "due_at", **_where("state = 'running'")),
    comment="Places that the results of a batch are written to in bulk",
    sqlite_autoincrement=True,  # no id is reused: people name exports by it
)  # fmt: skip

export_parts = Table(
    "export_parts",
    metadata,
    Column("export_id", BigInteger, primary_key=True, autoincrement=False),
    Column("number", BigInteger, primary_key=True, autoincrement=False, comment="from 1, in the order of planning"),
    Column("state", Text, nullable=False),
    Column("first_seq", BigInteger, nullable=False),
    Column("last_seq", BigInteger, nullable=False),
    Column("partition", Text, comment="value that its results have in common; null: unpartitioned"),
    Column("name", Text, nullable=False, comment="below the target"),
    Column("rows", BigInteger, comment="null until it is stored, as the next two"),
    Column("bytes", BigInteger),
    Column("sha256", Text),
    CheckConstraint("state IN ('planned', 'stored')", name="state"),
    Index("ix_export_parts_planned", "export_id", **_where("state = 'planned'")),
    comment="Files of an export: planned before they are written, so that each attempt writes the same",
)  # fmt: skip

intakes = Table(
    "intakes",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("source", Text, nullable=False, comment="where its messages come from; no credentials"),
    Column("definition_id", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("options", Text, nullable=False, comment="JSON; when its batches are sealed, and so on"),
    Column("batch_id", BigInteger, comment="its open batch, unless somebody paused or cancelled that; null: none"),
    Column("next_position", BigInteger, nullable=False, server_default="1", comment="of that batch's next item"),
    Column("accepted", BigInteger, nullable=False, server_default="0", comment="items"),
    Column("duplicates", BigInteger, nullable=False, server_default="0", comment="messages received again"),
    Column("rejected", BigInteger, nullable=False, server_default="0", comment="messages that cannot be items"),
    Column("skipped", BigInteger, nullable=False, server_default="0", comment="messages without a body"),
    Column("gaps", BigInteger, nullable=False, server_default="0", comment="times that messages were gone unread"),
    Column("backlog", BigInteger, comment="messages that waited in the source, about, when it was last asked"),
    _instant("backlog_at"),
    Column("last_error", Text),
    _instant("last_message_at"),
    _instant("created_at", nullable=False),
    CheckConstraint("state IN ('running', 'paused', 'failed')", name="state"),
    Index("ix_intakes_open", "batch_id", **_where("batch_id IS NOT NULL")),
    comment="Queues and streams whose messages become items",
    sqlite_autoincrement=True,  # no id is reused: batches name it
)  # fmt: skip

intake_positions = Table(
    "intake_positions",
    metadata,
    Column("intake_id", BigInteger, primary_key=True, autoincrement=False),
    Column("partition", Text, primary_key=True),
    Column("next_offset", Text, nullable=False, comment="every message below is accepted; sorts as text"),
    comment="How far the partitions of an intake are accepted",
)

intake_seen = Table(
    "intake_seen",
    metadata,
    Column("intake_id", BigInteger, primary_key=True, autoincrement=False),
    Column("message_id", Text, primary_key=True),
    _instant("seen_at", nullable=False),
    Index("ix_intake_seen_seen_at", "seen_at"),
    comment="Ids of accepted messages of sources without offsets",
)

intake_rejects = Table(
    "intake_rejects",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("intake_id", BigInteger, nullable=False),
    Column("batch_id", BigInteger, comment="the batch that was open then; null: none was"),
    Column("partition", Text),
    Column("offset", Text),
    Column("message_id", Text),
    Column("reason", Text, nullable=False),
    Column("body", LargeBinary, nullable=False, comment="as received, cut to 256 KiB"),
    _instant("rejected_at", nullable=False),
    Index("ix_intake_rejects_intake_id_id", "intake_id", "id"),
    Index("ix_intake_rejects_rejected_at", "rejected_at"),
    comment="Messages that cannot be items",
)

# Vacuum after 2 % of the rows have changed instead of 20 %: each row changes about five times.
for _table in (items, deliveries):
    _vacuum_early = DDL(f"ALTER TABLE {_table.name} SET (autovacuum_vacuum_scale_factor = 0.02)")  # type: ignore[no-untyped-call]
    event.listen(_table, "after_create", _vacuum_early.execute_if(dialect="postgresql"))
