"""A receiver that costs little: answers every whole request with 204, or keeps silent.

python -m benchmarks.sink [--silent]
"""

from __future__ import annotations

import asyncio

import click

_LENGTH = b"content-length:"
_END = b"\r\n\r\n"
_ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"


class Sink(asyncio.Protocol):
    """One connection that takes one request after the other."""

    def __init__(self, is_silent: bool) -> None:
        self._is_silent = is_silent
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
        length = head.lower().partition(_LENGTH)[2].partition(b"\r\n")[0]
        # The sender waits for its answer before it says more on this connection.
        if end and len(body) >= int(length):
            self._heard.clear()
            self._transport.write(_ANSWER)


async def _serve(is_silent: bool) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: Sink(is_silent), "127.0.0.1", 0, backlog=1_024)
    click.echo(server.sockets[0].getsockname()[1])
    await server.serve_forever()


@click.command()
@click.option("--silent", is_flag=True, help="Take what comes and never answer.")
def main(silent: bool) -> None:
    """Print the port, then serve until killed."""
    asyncio.run(_serve(silent))


if __name__ == "__main__":
    main()
