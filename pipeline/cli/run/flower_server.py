"""Flower in this process. Needs the extra `flower`.

Flower's own command would also run a `flowerconfig.py` of the current directory, and take the password as an argument,
which every user of the machine can read.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

from flower.app import Flower
from flower.events import Events
from flower.options import options as flower_options
from flower.urls import settings as flower_settings
from flower.utils import prepend_url
from flower.utils.broker import validate_broker_api
from kombu.exceptions import OperationalError
from tornado.web import RedirectHandler

from pipeline.errors import InvalidInput
from workers.app import app

#: The task id names item, stage and release; the exception says why a task failed or is retried.
_COLUMNS = "name,uuid,state,exception,received,runtime,worker"


#: Seconds after which a worker that says it is online is asked for the events of its tasks: its first sign of life may
#: come before it listens.
_ASK_AFTER_SECONDS = (0.0, 0.2, 1.0)


class _PromptEvents(Events):  # type: ignore[misc]  # flower has no types
    """Events of workers, whose tasks are seen from the first one on.

    Flower asks all workers for events every five seconds. This also asks each worker that it hears of.
    """

    def on_event(self, event: dict[str, Any]) -> None:
        super().on_event(event)
        worker = event["hostname"]
        # One that was online before Flower was sends a heartbeat when Flower begins to listen.
        is_known = worker in self.state.workers and self.state.workers[worker].alive
        if event["type"] == "worker-online" or (event["type"] == "worker-heartbeat" and not is_known):
            self.io_loop.add_callback(self._ask_soon, worker)

    def _ask_soon(self, worker: str) -> None:
        for seconds in _ASK_AFTER_SECONDS:
            self.io_loop.call_later(seconds, self._ask, worker)

    async def _ask(self, worker: str) -> None:
        with suppress(OperationalError):
            await self.io_loop.run_in_executor(None, partial(self.capp.control.enable_events, destination=[worker]))


@dataclass(frozen=True, slots=True)
class FlowerOptions:
    """FlowerOptions of the Flower server.

    Args:
        address: the address to listen on.
        port: the port to listen on; 0 takes any free one.
        auth: `user:password`; None disables the login.
        url_prefix: the path under which a proxy serves Flower, without slashes at its ends.
        broker_api: URL of RabbitMQ's management API.
        max_tasks: number of tasks to keep in memory.
        is_read_only: refuse to stop workers, change pools and send tasks.
    """

    address: str
    port: int
    auth: str | None
    url_prefix: str | None
    broker_api: str | None
    max_tasks: int
    is_read_only: bool


def serve(options: FlowerOptions, *, on_ready: Callable[[str], None]) -> NoReturn:
    """Serve until SIGTERM or SIGINT, then end the process.

    Args:
        options: the options of the server.
        on_ready: called with the URL when the server listens.

    Raises:
        InvalidInput: cannot listen on the address, or `broker_api` is not a valid URL.
    """
    _apply(options)
    # A browser sends its first request without the password; the 401 in the log would only confuse.
    logging.getLogger("tornado.access").setLevel(logging.ERROR)
    # The page of workers shows that none responds.
    logging.getLogger("flower.inspector").setLevel(logging.ERROR)
    server = Flower(capp=app, options=flower_options, **_settings(options.url_prefix))
    if options.url_prefix is not None:
        # Flower serves what begins with the slash only.
        home = {"url": f"/{options.url_prefix}/", "permanent": False}
        server.add_handlers(".*", [(f"/{options.url_prefix}", RedirectHandler, home)])
    server.events = _PromptEvents(
        app,
        io_loop=server.io_loop,
        max_workers_in_memory=flower_options.max_workers,
        max_tasks_in_memory=flower_options.max_tasks,
    )
    try:
        port = server.start_http_server()
    except OSError as error:
        raise InvalidInput(
            f"cannot listen on {options.address} port {options.port}: {error.strerror}; "
            "choose another --address or --port"
        ) from None
    for number in (signal.SIGINT, signal.SIGTERM):
        server.io_loop.asyncio_loop.add_signal_handler(number, server.stop)
    on_ready(_url(options, port))
    server.start()
    # Its threads hold no state, but may wait forever for a broker that is gone.
    os._exit(0)


def _apply(options: FlowerOptions) -> None:
    if options.broker_api is not None:
        try:
            validate_broker_api(options.broker_api)
        except ValueError as error:
            raise InvalidInput(
                f"--broker-api: {error}; expected a URL such as http://rabbitmq.internal:15672/api/"
            ) from None
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


def _url(options: FlowerOptions, port: int) -> str:
    host = f"[{options.address}]" if ":" in options.address else options.address
    return f"http://{host}:{port}/{'' if options.url_prefix is None else f'{options.url_prefix}/'}"
