"""A receiver that costs little: answers every whole request with 204, or keeps silent.

python -m benchmarks.sink [--port PORT] [--ids FILE] [--silent]
"""

from __future__ import annotations

import asyncio
from io import FileIO
from pathlib import Path

import click

_LENGTH = b"content-length:"
_ID = b"webhook-id:"
_END = b"\r\n\r\n"
_ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"


class Sink(asyncio.Protocol):
    """One connection that takes one request after the other.

    Args:
        ids: takes the webhook id of each request that is answered, a line each.
    """

    def __init__(self, is_silent: bool, ids: FileIO | None) -> None:
        self._is_silent = is_silent
        self._ids = ids
        self._heard = bytearray()
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._is_silent or self._transport is None:
            return
        self._heard += data
        head, end, body = self._heard.partition(_END)
        # The sender waits for its answer before it says more on this connection.
        if end and len(body) >= int(_value(head, _LENGTH)):
            if self._ids is not None:
                self._ids.write(_value(head, _ID) + b"\n")
            self._heard.clear()
            self._transport.write(_ANSWER)


def _value(head: bytearray, name: bytes) -> bytes:
    """Return the value of a header, b"" where it is not there."""
    start = head.lower().find(name) + len(name)
    return bytes(head[start:].partition(b"\r\n")[0].strip()) if start >= len(name) else b""


async def _serve(is_silent: bool, port: int, ids: FileIO | None) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Sink(is_silent, ids), "127.0.0.1", port, backlog=1_024)
    click.echo(server.sockets[0].getsockname()[1])
    await server.serve_forever()


@click.command()
@click.option("--silent", is_flag=True, help="Take what comes and never answer.")
@click.option("--port", default=0, help="To listen at; by default any that is free.")
@click.option("--ids", type=click.Path(path_type=Path), help="File that takes the webhook ids, a line each.")
def main(silent: bool, port: int, ids: Path | None) -> None:
    """Print the port, then serve until killed."""
    # Unbuffered: who reads the file counts what was answered so far.
    asyncio.run(_serve(silent, port, FileIO(ids, "a") if ids else None))


if __name__ == "__main__":
    main()
