"""Flower in this process. Needs the extra `flower`.

Its own command would also run a `flowerconfig.py` of the current directory, and take the password as an argument that
every user of the machine can read.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from flower.app import Flower
from flower.options import options as flower_options
from flower.urls import settings as flower_settings
from flower.utils import prepend_url
from flower.utils.broker import validate_broker_api

from pipeline.errors import InvalidInput
from workers.app import app

#: The id names item, stage and release; the exception is why a task failed or is tried again.
_COLUMNS = "name,uuid,state,exception,received,runtime,worker"


@dataclass(frozen=True, slots=True)
class Options:
    """How Flower is shown. `auth` is `user:password`; None lets everybody in."""

    address: str
    port: int
    auth: str | None
    url_prefix: str | None
    broker_api: str | None
    max_tasks: int
    is_read_only: bool


def serve(options: Options, *, on_ready: Callable[[str], None]) -> NoReturn:
    """Serve until SIGTERM or SIGINT, and end the process; `on_ready` hears the URL.

    Raises:
        InvalidInput: the address cannot be listened on, or `broker_api` is no URL.
    """
    _apply(options)
    # A browser is refused once before it asks for the password: nobody needs to know.
    logging.getLogger("tornado.access").setLevel(logging.ERROR)
    # That no worker answers is on the page of workers.
    logging.getLogger("flower.inspector").setLevel(logging.ERROR)
    server = Flower(capp=app, options=flower_options, **_settings(options.url_prefix))
    try:
        port = server.start_http_server()
    except OSError as error:
        raise InvalidInput(
            f"cannot listen on {options.address} port {options.port}: {error.strerror}; choose with --address, --port"
        ) from None
    for number in (signal.SIGINT, signal.SIGTERM):
        server.io_loop.asyncio_loop.add_signal_handler(number, server.stop)
    on_ready(_url(options, port))
    server.start()
    # Its threads hold nothing, but may wait for a broker that is gone, for ever.
    os._exit(0)


def _apply(options: Options) -> None:
    if options.broker_api is not None:
        try:
            validate_broker_api(options.broker_api)
        except ValueError as error:
            raise InvalidInput(f"--broker-api: {error}; it is like http://rabbitmq.internal:15672/api/") from None
    flower_options.address = options.address
    flower_options.port = options.port
    flower_options.basic_auth = [] if options.auth is None else [options.auth]
    flower_options.url_prefix = options.url_prefix
    flower_options.broker_api = options.broker_api
    flower_options.max_tasks = options.max_tasks
    flower_options.read_only = options.is_read_only
    flower_options.tasks_columns = _COLUMNS


def _settings(url_prefix: str | None) -> dict[str, object]:
    paths = {name: prepend_url(flower_settings[name], url_prefix or "") for name in ("login_url", "static_url_prefix")}
    return {**flower_settings, **(paths if url_prefix else {})}


def _url(options: Options, port: int) -> str:
    host = f"[{options.address}]" if ":" in options.address else options.address
    prefix = (options.url_prefix or "").strip("/")
    return f"http://{host}:{port}/{prefix}"
