"""One of several processes that answer requests; see `process_group`."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import threading
from typing import Any

import orjson

from pipeline.http_api.gateway import NoWork, WorkBeside
from pipeline.http_api.server.log_format import configure_logging
from pipeline.http_api.server.options import ServeOptions
from pipeline.http_api.server.run import GatewayServer
from pipeline.http_api.server.serve import open_context, run_server, started_broker_work
from pipeline.http_api.server.work_beside import WorkPipe
from pipeline.settings import Settings
from pipeline.settings import load as load_settings


def main() -> None:
    """Serve until standard input ends."""
    given = orjson.loads(sys.argv[1])
    options = ServeOptions.model_validate(given["options"])
    configure_logging(options.log_level)
    settings = load_settings()
    work = _work(settings, options, given)

    def follow_parent(loop: asyncio.AbstractEventLoop, server: GatewayServer) -> None:
        arguments = (loop, server, work)
        threading.Thread(target=_follow_parent, args=arguments, name="pipeline-parent", daemon=True).start()

    run_server(
        open_context(settings, options),
        options,
        socket.socket(fileno=given["listener"]),
        work,
        on_ready=lambda: _tell(given["ready"]),
        on_start=follow_parent,
    )
    logging.shutdown()
    os._exit(0)


def _work(settings: Settings, options: ServeOptions, given: dict[str, Any]) -> WorkBeside:
    if not settings.is_embedded:
        return started_broker_work(settings)
    return WorkPipe(given["wake"]) if options.has_work else NoWork()


def _tell(ready: int) -> None:
    os.write(ready, b".")


def _follow_parent(loop: asyncio.AbstractEventLoop, server: GatewayServer, work: WorkBeside) -> None:
    for line in sys.stdin:
        if isinstance(work, WorkPipe):
            work.tell(line.rstrip("\n"))
    loop.call_soon_threadsafe(server.stop)


if __name__ == "__main__":
    main()
