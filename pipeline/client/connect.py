"""Where clients come from: settings in, a session out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict, Unpack

from pipeline import settings
from pipeline.bootstrap import make_context
from pipeline.client.client import Client
from pipeline.client.session import EmbeddedWorker, Session
from pipeline.context import Context
from pipeline.hooks import Hook
from pipeline.settings import Settings


class SettingOverrides(TypedDict, total=False):
    """Settings by their names in the environment, `PIPELINE_` left out; what is missing or None comes from there."""

    #: `whsec_…` or `whsk_…`: signs callbacks. Several, separated by spaces: all sign, the first is the newest.
    webhook_secret: str | None
    #: Encrypts endpoints' own secrets and headers. Several, separated by spaces: the first encrypts, any decrypts.
    encryption_key: str | None
    #: CIDRs that callbacks may reach although they are private, plain http included.
    allow_private_callbacks: str | Sequence[str] | None
    #: Largest payload of an item, in bytes of compact JSON.
    max_payload_bytes: int | None
    #: Items of one tenant that may wait; submissions are refused while more do.
    max_pending_items: int | None
    #: Micro-batches that this process runs at once.
    concurrency: int | None
    #: Items in one micro-batch at most.
    batch_items: int | None
    #: Milliseconds that a worker waits for more items after the first.
    batch_wait_ms: float | None
    #: Seconds without a sign of life after which work is taken back.
    lease_seconds: float | None
    #: Seconds that a stopping worker gives what it has begun.
    stop_seconds: float | None
    #: Whether to use the transports of pipeline instead of those of kombu.
    fast_transport: bool | None
    #: Whether tasks send events, which Flower shows.
    task_events: bool | None
    #: Days that a batch is kept after it completed.
    retention_days: float | None
    #: Workers that may die holding an item before it is given up.
    max_crashes: int | None


def connect(
    *,
    database_url: str | None = None,
    broker_url: str | None = None,
    definitions: str | Path | None = None,
    hooks: Sequence[Hook] = (),
    **overrides: Unpack[SettingOverrides],
) -> Client:
    """Open the database and return a client. Every argument that is not given comes from `PIPELINE_*`.

    Without a broker the client works in this process: its threads start with the first batch, and continue what an
    earlier process left unfinished.

    Args:
        database_url: `sqlite:///FILE` or `postgresql://…`.
        broker_url: `redis://…` or `amqp://…`; unset: embedded, in this process.
        definitions: Folder in which definitions are found by name.
        hooks: Called in the transaction in which items and batches become final, where this process does the work.
        overrides: Further settings; see `SettingOverrides`.

    Raises:
        InvalidSettings: A setting cannot be used, or there is no such setting.
        Unreachable: The database does not answer.
        WrongSchema: The database is of another version, or needs `pipeline db upgrade`.
    """
    chosen = settings.load(database_url=database_url, broker_url=broker_url, definitions=definitions, **overrides)
    return Client(open_session(chosen, hooks))


def open_session(chosen: Settings, hooks: Sequence[Hook] = ()) -> Session:
    """Open the database of these settings.

    Raises:
        Unreachable, WrongSchema
    """
    return session_on(make_context(chosen, hooks=hooks))


def session_on(context: Context) -> Session:
    """Return a session on an open database, with the worker of this process where no broker is set."""

    return Session(context, _make_worker if context.settings.is_embedded else None)


def _make_worker(context: Context, batch_id: int | None) -> EmbeddedWorker:
    # The one place where the library reaches for its workers. Here, since Celery takes long to import, and a program
    # that only looks at batches never needs it.
    from workers.embedded import Embedded

    return Embedded(context, batch_id=batch_id)
