"""A server of the HTTP API in a thread of the test, on a real socket, with the worker of this process beside it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import httpx2

import pipeline
from pipeline.access.keys import create
from pipeline.context import Context
from pipeline.domain.api_key import Scope
from pipeline.http_api.app import make_app
from pipeline.http_api.authentication import Keyring
from pipeline.http_api.gateway import Gateway, GatewayOptions, NoWork, WorkBeside
from pipeline.http_api.pools import Pool
from pipeline.http_api.rate_limits import FailedAttempts
from pipeline.http_api.server.limits import ServerLimits
from pipeline.http_api.server.options import ServeOptions
from pipeline.http_api.server.run import listen, make_server
from pipeline.http_api.server.serve import make_stack
from tests.support.factories import client_context

#: Long enough for a busy machine: a test that meets it hangs.
HANG_SECONDS = 60.0


@dataclass
class ServedApi:
    """A running server.

    Args:
        url: where it listens.
        context: of its database.
        client: the embedded client whose worker processes what is submitted; None: nothing does.
    """

    url: str
    context: Context
    client: pipeline.Client | None
    gateway: Gateway
    loop: asyncio.AbstractEventLoop
    http: httpx2.Client = field(init=False)

    def __post_init__(self) -> None:
        self.http = httpx2.Client(base_url=self.url, timeout=HANG_SECONDS, trust_env=False)

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def drain(self) -> None:
        """Let streams end, as when the server stops."""
        self.loop.call_soon_threadsafe(self.gateway.draining.set)

    def key(self, *scopes: Scope, tenant: str = "default", **options: Any) -> dict[str, str]:
        """Create a key and return the header that presents it. Without scopes: all of them."""
        key = create(self.context, "test", tenant=tenant, scopes=scopes or tuple(Scope), **options)
        return {"Authorization": f"Bearer {key}"}


class SessionWork:
    """The worker of a client in this process."""

    def __init__(self, client: pipeline.Client) -> None:
        self._client = client

    def wake(self) -> None:
        self._client._session.nudge()

    def problem(self) -> str | None:
        return None


@contextmanager
def serving(
    client: pipeline.Client, *, works: bool = True, limits: ServerLimits | None = None, **options: Any
) -> Iterator[ServedApi]:
    """Serve the database of a client on a free port until the block ends.

    Args:
        works: whether the client's worker processes what is submitted.
        limits: of the server; None: those of production.
        options: of `GatewayOptions`; without keys, requests are answered.
    """
    context = client_context(client)
    quick = Pool.quick()
    chosen = GatewayOptions(**{"is_open": True, **options})
    work: WorkBeside = SessionWork(client) if works else NoWork()
    # All tests of a module have one address.
    keyring = Keyring(context, quick, is_open=chosen.is_open, failures=FailedAttempts(limit=100_000))
    gateway = Gateway(context, chosen, keyring, work, quick=quick)
    listener = listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    gateway = replace(gateway, options=replace(chosen, port=port))
    stack = make_stack(make_app(gateway), ServeOptions())
    server = make_server(stack, limits=limits, on_drain=gateway.draining.set)
    loop = asyncio.new_event_loop()
    runner = asyncio.Runner(loop_factory=lambda: loop)
    thread = threading.Thread(target=lambda: _run(runner, server.serve([listener])), name="test-server", daemon=True)
    thread.start()
    served = ServedApi(f"http://127.0.0.1:{port}", context, client if works else None, gateway, loop)
    try:
        yield served
    finally:
        served.http.close()
        server.should_exit = True
        thread.join(HANG_SECONDS)
        gateway.close()
        assert not thread.is_alive()


def _run(runner: asyncio.Runner, serve: Coroutine[Any, Any, None]) -> None:
    with runner:
        runner.run(serve)


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    pause = threading.Event()
    for _ in range(round(HANG_SECONDS * 100)):
        if is_so():
            return
        pause.wait(0.01)
    raise AssertionError("it did not come to be")


def wait_for_readers(api: ServedApi, number: int) -> None:
    """Wait until so many requests follow batches."""
    wait_until(lambda: api.gateway.hub.readers == number)
