"""The composition root: the one place that turns settings into real databases, clocks and senders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from pipeline.alerts.alerts_source import AlertsSource
from pipeline.connections.connection import NamedConnections
from pipeline.context import Context
from pipeline.crypto.encryption import Encryption
from pipeline.crypto.signer import Signer
from pipeline.database.clock import DatabaseClock
from pipeline.database.engine import Database
from pipeline.database.schema import check_schema, upgrade_schema
from pipeline.delivery import endpoint_secrets
from pipeline.delivery.owe import owe_callbacks
from pipeline.delivery.rules.delivery import Sent
from pipeline.delivery.sender.sender import Sender
from pipeline.delivery.webhook.options import SenderOptions
from pipeline.errors import InvalidInput
from pipeline.hooks import Hook, Hooks
from pipeline.settings import Settings
from pipeline.telemetry.meter import process_meter

#: Poll interval in seconds of a sender for deliveries that other processes write.
SHARED_POLL_SECONDS = 0.1


def make_context(settings: Settings, *, hooks: Sequence[Hook] = (), threads: int | None = None) -> Context:
    """Open the database and return the context of use cases.

    An embedded database is created and migrated. Any other is only checked, since several programs share it.

    Args:
        threads: that use the database in addition to those every process has; None: `PIPELINE_CONCURRENCY`.

    Raises:
        InvalidSettings: PIPELINE_CONNECTIONS names a file that cannot be used.
        WrongSchema: the database is at a newer version, or needs `pipeline db upgrade`.
        Unreachable: it does not answer.
    """
    # Before the database is opened: a mistake in the file is found without one.
    connections = load_connections(settings.connections)
    concurrency = settings.concurrency if threads is None else threads
    database = Database(settings.database_url.get_secret_value(), concurrency=concurrency)
    if settings.is_embedded and database.is_sqlite:
        upgrade_schema(database)
    else:
        check_schema(database)
    return _context_with(database, settings, make_hooks(database, hooks), connections)


def context_on(settings: Settings, database: Database, hooks: Sequence[Hook] = ()) -> Context:
    """Return the context of use cases on an open database of the right version.

    Raises:
        InvalidSettings: PIPELINE_CONNECTIONS names a file that cannot be used.
    """
    return _context_with(database, settings, make_hooks(database, hooks), load_connections(settings.connections))


def reopen(context: Context) -> Context:
    """Return the context for a child of the process that opened this one: its own database, clock and name.

    Raises:
        Unreachable: the database does not answer.
        ProcessForked: this process was forked inside a transaction on it, and it is SQLite.
    """
    settings = context.settings
    database = Database(context.database.url.render_as_string(hide_password=False), concurrency=settings.concurrency)
    return _context_with(database, settings, context.hooks, context.connections)


def _context_with(database: Database, settings: Settings, hooks: Hooks, connections: NamedConnections) -> Context:
    context = Context(settings=settings, database=database, hooks=hooks, connections=connections, meter=process_meter())
    if database.is_sqlite:
        return context
    clock = DatabaseClock(database)
    return replace(context, now=clock, synchronise=clock.synchronise)


def load_connections(path: Path | None) -> NamedConnections:
    """Return the connections that a file defines; none without a file.

    Raises:
        InvalidSettings: the file cannot be used.
    """
    if path is None:
        return NamedConnections()
    # Imported here: few have a file.
    from pipeline.connections.connections_file import read_connections

    return read_connections(path)


def make_hooks(database: Database, own: Sequence[Hook] = ()) -> Hooks:
    """Return the completion hooks: the built-in ones, then the caller's."""
    if not own:
        return Hooks(built_in=(owe_callbacks,))
    return Hooks(own, built_in=(owe_callbacks,), user_planner=database.user_planner())


def make_alerts(settings: Settings) -> AlertsSource:
    """Return where alerts go and when rules fire, as `PIPELINE_ALERTS` says it now and later.

    Raises:
        InvalidSettings: it names a file that cannot be used.
    """
    return AlertsSource(settings.alerts, can_sign=bool(settings.secrets))


def make_sender(context: Context, alerts: AlertsSource | None = None) -> Sender:
    """Return the sender of this process. It is not started.

    Args:
        alerts: where alerts go; None, or without a file: it sends none.
    """
    settings = context.settings
    return Sender(
        context.database,
        secrets=settings.secrets,
        destinations=context.destinations,
        worker=context.worker,
        vault=Encryption(settings.encryption_keys),
        clock=context.now,
        trace_rate=settings.trace_items,
        alerts=alerts.current if alerts is not None and alerts.is_configured else None,
        meter=context.meter,
        # Other processes finish items and can wake this one only occasionally.
        options=SenderOptions() if settings.is_embedded else SenderOptions(poll_seconds=SHARED_POLL_SECONDS),
    )


def with_sender(context: Context, sender: Sender) -> Context:
    """Return the context for work in a process whose sender may send right after the commit of a result."""
    return replace(context, hooks=context.hooks.with_built_in(partial(owe_callbacks, slots=sender.slots)))


def ping(context: Context, url: str) -> Sent:
    """Send one signed `webhook.ping` to a URL now, as the sender would, and return the attempt.

    Raises:
        InvalidCallbackUrl, ForbiddenCallbackUrl: the URL cannot be called back.
        InvalidInput: there is no secret to sign with.
        CannotDecrypt: the endpoint's secrets or headers cannot be read here.
    """
    # Imported here: the HTTP client takes a long time to import.
    from pipeline.delivery.sender.ping import send_ping

    settings = context.settings
    callback = context.destinations.check(url, name="the URL")
    if not settings.secrets and not callback.is_target:
        raise InvalidInput(
            "PIPELINE_WEBHOOK_SECRET is not set, and nothing is sent unsigned; create a secret with `pipeline secret`"
        )
    own = endpoint_secrets.credentials(context, callback.origin)
    signer = Signer(settings.secrets) if settings.secrets else None
    return send_ping(callback, signer, own, context.destinations, clock=context.now)
