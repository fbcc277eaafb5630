"""A server of events as a process of its own: the HTTP API, or the way by hand.

python -m benchmarks.event_server ours|by-hand DATABASE_URL COUNTER_FILE prints its port; the file counts statements.
"""

from __future__ import annotations

import asyncio
import mmap
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import uvicorn
from sqlalchemy import Engine, event
from starlette.types import ASGIApp

import pipeline
from benchmarks.contestants import fastapi_polling
from pipeline.http_api.app import make_app
from pipeline.http_api.authentication import Keyring
from pipeline.http_api.gateway import Gateway, GatewayOptions
from pipeline.http_api.pools import Pool
from pipeline.http_api.server.run import listen
from pipeline.http_api.streaming.options import StreamOptions
from tests.support.factories import client_context

COUNTER_BYTES = 8


@click.command()
@click.argument("kind", type=click.Choice(["ours", "by-hand"]))
@click.argument("database_url")
@click.argument("counter", type=click.Path(path_type=Path))
def main(kind: str, database_url: str, counter: Path) -> None:
    """Serve the events of a database until the process is ended."""
    with pipeline.connect(database_url=database_url) as client:
        context = client_context(client)
        with counting(context.database.engine, counter):
            if kind == "ours":
                quick = Pool.quick()
                options = GatewayOptions(is_open=True, streams=StreamOptions(most=10_000))
                app: ASGIApp = make_app(Gateway(context, options, Keyring(context, quick, is_open=True), quick=quick))
            else:
                app = fastapi_polling.make_app(context.database.engine)
            serve(app)


def serve(app: ASGIApp) -> None:
    """Serve an application on a free port, which is printed."""
    listener = listen("127.0.0.1", 0)
    click.echo(listener.getsockname()[1])
    config = uvicorn.Config(
        app, http="httptools", ws="websockets-sansio", lifespan="off", log_config=None, access_log=False
    )
    asyncio.run(uvicorn.Server(config).serve([listener]))


@contextmanager
def counting(engine: Engine, file: Path) -> Iterator[None]:
    """Count the statements of an engine in a file that another process reads."""
    file.write_bytes(bytes(COUNTER_BYTES))
    number = 0
    with file.open("r+b") as opened, mmap.mmap(opened.fileno(), COUNTER_BYTES) as shared:

        def count(*_: Any) -> None:
            nonlocal number
            number += 1
            struct.pack_into("<q", shared, 0, number)

        event.listen(engine, "before_cursor_execute", count)
        yield


if __name__ == "__main__":
    main()
