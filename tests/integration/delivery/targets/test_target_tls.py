"""TLS to brokers: a certificate for another name, or by nobody who is trusted, takes no message."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pipeline.connections.connection import NamedConnection, NamedConnections
from pipeline.connections.destinations import Destinations
from tests.integration.delivery.targets.contract import Targets, in_loop, owed
from tests.support.receivers.authority import Authority

PLACES = {"amqps": "prod/amq.default/q", "rediss": "0/s"}


@pytest.mark.parametrize("scheme", list(PLACES))
@pytest.mark.parametrize(
    ("name", "is_trusted", "code"),
    [("other.example", True, "tls_verify"), ("localhost", False, "tls_verify"), ("localhost", True, None)],
)
def test_a_certificate_must_be_of_the_broker(
    scheme: str, name: str, is_trusted: bool, code: str | None, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)

    @in_loop
    async def send() -> None:
        spoken: list[bytes] = []

        async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            spoken.append(await reader.read(1))
            writer.close()

        server = await asyncio.start_server(hang_up, "127.0.0.1", 0, ssl=authority.context(name))
        port = server.sockets[0].getsockname()[1]
        options = {"ca_file": str(authority.file)} if is_trusted else {}
        bus = NamedConnection("bus", f"{scheme}://localhost:{port}", options=options)
        where = Destinations(connections=NamedConnections({"bus": bus}))
        async with Targets(where) as post:
            answer = await post(owed(f"conn://bus/{PLACES[scheme]}"))
        server.close()
        if code is None:
            # It got as far as the protocol.
            assert answer.code not in ("tls_verify", "tls_handshake")
            assert spoken
        else:
            assert (answer.code, spoken) == (code, [])

    send()
