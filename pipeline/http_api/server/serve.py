"""`pipeline serve`: everything from settings to a server that has stopped."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from starlette.types import ASGIApp
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from pipeline.bootstrap import make_context
from pipeline.context import Context
from pipeline.http_api.app import make_app
from pipeline.http_api.authentication import Keyring
from pipeline.http_api.gateway import Gateway, GatewayOptions, NoWork, WorkBeside
from pipeline.http_api.pools import BULK_THREADS, QUICK_THREADS, Pool
from pipeline.http_api.rate_limits import RateLimits
from pipeline.http_api.server.binding import allow_many_files, bind, check_access, is_local, url_of
from pipeline.http_api.server.options import ServeOptions
from pipeline.http_api.server.process_group import ProcessGroup
from pipeline.http_api.server.request_log import RequestLog
from pipeline.http_api.server.root_path import UnderRootPath
from pipeline.http_api.server.run import GatewayServer, make_server
from pipeline.http_api.server.show_metrics import shown_metrics
from pipeline.http_api.server.work_beside import BrokerWork, WorkProcess
from pipeline.log import get_logger
from pipeline.settings import Settings

log = get_logger(__name__)

#: The system has no room for another connection: too many files, or too little memory.
_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class StopsBeside(Protocol):
    """Work beside the server that stops with it."""

    def ask_to_stop(self) -> None:
        """Let it begin to stop. Does not wait."""

    def stop(self) -> None:
        """Let it stop, and wait until it has."""

    def kill(self) -> None:
        """End it at once."""


def serve(settings: Settings, options: ServeOptions, *, on_ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        on_ready: called with the URL as soon as requests are answered.

    Raises:
        InvalidInput: the address cannot be listened on, or may not be without an API key.
        Unreachable, WrongSchema: the database does not answer, or has another version.
    """
    context = open_context(settings, options)
    check_access(context, options)
    listener = bind(options)
    url = url_of(options, listener)
    allow_many_files()
    try:
        with shown_metrics(settings) as report_to:
            if options.processes > 1:
                context.database.close()
                ProcessGroup(settings, options, listener, report_to=report_to).run(lambda: on_ready(url))
            else:
                _serve_here(context, options, listener, lambda: on_ready(url), report_to)
    finally:
        if options.uds is not None:
            with suppress(OSError):
                options.uds.unlink()


def open_context(settings: Settings, options: ServeOptions) -> Context:
    """Open the database for the threads of a server.

    Raises:
        Unreachable, WrongSchema
    """
    context = make_context(settings, threads=QUICK_THREADS + BULK_THREADS)
    # The process beside it loads models: one that crashes there leaves the server alone.
    return replace(context, builds_stages=False, works_beside=settings.is_embedded and options.has_work)


def _serve_here(
    context: Context,
    options: ServeOptions,
    listener: socket.socket,
    on_ready: Callable[[], None],
    report_to: Path | None,
) -> None:
    settings = context.settings
    if not settings.is_embedded:
        run_server(context, options, listener, started_broker_work(settings), on_ready=on_ready)
    elif not options.has_work:
        run_server(context, options, listener, NoWork(), on_ready=on_ready)
    else:
        work = WorkProcess(settings, report_to=report_to)

        def begin() -> None:
            on_ready()
            # Only now: its start takes a core for a second.
            work.start()

        run_server(context, options, listener, work, on_ready=begin, stops_with=work)


def started_broker_work(settings: Settings) -> BrokerWork:
    """Return what wakes workers elsewhere."""
    work = BrokerWork(settings)
    work.start()
    return work


def run_server(
    context: Context,
    options: ServeOptions,
    listener: socket.socket,
    work: WorkBeside,
    *,
    on_ready: Callable[[], None],
    on_start: Callable[[asyncio.AbstractEventLoop, GatewayServer], None] = lambda loop, server: None,
    stops_with: StopsBeside | None = None,
) -> None:
    """Serve in this process until it is told to stop.

    Args:
        on_start: called in the event loop before the first request.
        stops_with: begins to stop when the server does, and has stopped at the end.
    """
    gateway = make_gateway(context, options, listener, work)

    def drain() -> None:
        gateway.draining.set()
        if stops_with is not None:
            stops_with.ask_to_stop()

    server = make_server(
        make_stack(make_app(gateway), options),
        on_drain=drain,
        on_ready=on_ready,
        proxies=options.proxies,
        stop_seconds=context.settings.stop_seconds,
        tls=options.tls,
    )

    async def run() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_log_refused_connections)
        on_start(loop, server)
        await server.serve([listener])

    asyncio.run(run())
    if stops_with is not None:
        if server.force_exit:
            stops_with.kill()
        stops_with.stop()
    gateway.close()
    context.database.close()


def make_gateway(context: Context, options: ServeOptions, listener: socket.socket, work: WorkBeside) -> Gateway:
    """Return what the requests of a server share."""
    is_open, quick = is_local(options), Pool.quick()
    port = None if options.uds is not None else listener.getsockname()[1]
    chosen = GatewayOptions(has_page=options.has_page, is_open=is_open, port=port)
    keyring, rates = Keyring(context, quick, is_open=is_open), RateLimits(processes=options.processes)
    return Gateway(context, chosen, keyring, work, quick=quick, rates=rates)


def make_stack(app: ASGIApp, options: ServeOptions) -> ASGIApp:
    """Return an application with what surrounds it in a server: the log, and the proxy in front."""
    stack: ASGIApp = RequestLog(UnderRootPath(app, options.root_path))
    if options.trusted:
        stack = ProxyHeadersMiddleware(stack, trusted_hosts=options.trusted)  # type: ignore[arg-type, assignment]
    return stack


def _log_refused_connections(loop: asyncio.AbstractEventLoop, details: dict[str, Any]) -> None:
    error = details.get("exception")
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        # The loop tries again in a second.
        log.warning("connections_not_accepted", reason=error.strerror)
    else:
        loop.default_exception_handler(details)
