"""Where clients come from: settings in, a session out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack, overload

from pipeline import settings
from pipeline.bootstrap import make_context
from pipeline.client.client import Client
from pipeline.client.session import EmbeddedWorker, Session
from pipeline.context import Context
from pipeline.errors import InvalidSettings
from pipeline.hooks import Hook
from pipeline.settings import Settings

if TYPE_CHECKING:
    from pipeline.client.remote.remote_client import RemoteClient
    from pipeline.client.remote.server import Server


class SettingOverrides(TypedDict, total=False):
    """Settings by their names in the environment, `PIPELINE_` left out; what is missing or None comes from there."""

    #: `whsec_…` or `whsk_…`: signs callbacks. Several, separated by spaces: all sign, the first is the newest.
    webhook_secret: str | None
    #: Encrypts endpoints' own secrets and headers. Several, separated by spaces: the first encrypts, any decrypts.
    encryption_key: str | None
    #: CIDRs that callbacks may reach although they are private, plain http included.
    allow_private_callbacks: str | Sequence[str] | None
    #: File of the connections that `conn://NAME` names.
    connections: str | Path | None
    #: File of the channels that alerts go to, of thresholds and of a heartbeat.
    alerts: str | Path | None
    #: Hosts that message targets and exports may name without a connection.
    allow_targets: str | Sequence[str] | None
    cors_origins: str | Sequence[str] | None
    allowed_hosts: str | Sequence[str] | None
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
    #: Where `pipeline worker` shows metrics; embedded workers show none.
    metrics_listen: str | None
    #: The file in which `pipeline worker` shows metrics; embedded workers write none.
    metrics_textfile: Path | None
    #: Days that a batch is kept after it completed.
    retention_days: float | None
    #: Workers that may die holding an item before it is given up.
    max_crashes: int | None
    #: Format of the lines about attempts: `text`, `json`, `ecs` or `splunk`.
    log_format: str | None
    #: Items whose attempts are logged: `off`, `dead`, `sample:RATE` or `all`.
    log_items: str | None
    #: Whether those lines have the items' keys.
    log_keys: bool | None
    #: Share of items that are traced, if traces are sent.
    trace_items: float | None


@overload
def connect(server_url: str, *, api_key: str | None = None) -> RemoteClient: ...


@overload
def connect(
    *,
    database_url: str | None = None,
    broker_url: str | None = None,
    definitions: str | Path | None = None,
    hooks: Sequence[Hook] = (),
    **overrides: Unpack[SettingOverrides],
) -> Client: ...


def connect(
    server_url: str | None = None,
    *,
    api_key: str | None = None,
    database_url: str | None = None,
    broker_url: str | None = None,
    definitions: str | Path | None = None,
    hooks: Sequence[Hook] = (),
    **overrides: Unpack[SettingOverrides],
) -> Client | RemoteClient:
    """Open the database and return a client. Every argument that is not given comes from `PIPELINE_*`.

    With the URL of a server, or `PIPELINE_SERVER_URL`, the client works with that server instead of a database: it is a
    `RemoteClient`, which has the same methods.

    Without a broker the client works in this process: its threads start with the first batch, and continue what an
    earlier process left unfinished.

    Args:
        server_url: `https://…`: where `pipeline serve` runs.
        api_key: `pipe_…`; None: `PIPELINE_API_KEY`, or no key.
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
    if server_url is not None:
        return _remote_client(settings.load(server_url=server_url, api_key=api_key))
    chosen = settings.load(database_url=database_url, broker_url=broker_url, definitions=definitions, **overrides)
    if chosen.server_url is not None:
        refuse_two_stores(chosen)
        if hooks:
            raise InvalidSettings("hooks run where the work is done; give them to the workers of the server")
        return _remote_client(chosen)
    return Client(open_session(chosen, hooks))


def refuse_two_stores(chosen: Settings) -> None:
    """Raise `InvalidSettings` if both a server and a database are named: batches of which would be meant?"""
    if "database_url" in chosen.model_fields_set:
        raise InvalidSettings(
            "PIPELINE_SERVER_URL and PIPELINE_DATABASE_URL are both set; unset the one you do not mean"
        )


def named_server(chosen: Settings) -> Server:
    """Return the server that the settings name. It connects when it is used.

    Raises:
        InvalidSettings: the URL is not one.
    """
    from pipeline.client.remote.server import Server

    assert chosen.server_url is not None
    key = None if chosen.api_key is None else chosen.api_key.get_secret_value()
    return Server(chosen.server_url.get_secret_value(), key)


def _remote_client(chosen: Settings) -> RemoteClient:
    # Imported here: a client of a database needs none of it.
    from pipeline.client.remote.remote_client import RemoteClient

    return RemoteClient(named_server(chosen))


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
