"""A proxy on loopback between a client and a server, which can be cut, silenced and refused."""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType
from typing import Self


class CutProxy:
    """Forwards bytes between connections to its port and a server."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self._drops_answers = False
        #: Bytes that the client has sent.
        self.sent = 0

    @property
    def port(self) -> int:
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def silence(self) -> None:
        """Forward nothing more, in either direction, and keep connections open."""
        self._flows.clear()

    def drop_answers(self) -> None:
        """Forward what the client sends, and nothing that the server answers."""
        self._drops_answers = True

    def heal(self) -> None:
        """Forward again."""
        self._drops_answers = False
        self._flows.set()

    def cut(self) -> None:
        """Reset all connections."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self._flows.set()
        self.cut()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, to_writer}
        self._writers |= both
        await asyncio.gather(self._pump(reader, to_writer, is_client=True), self._pump(to_reader, writer))
        self._writers -= both

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_client: bool = False
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(2**16):
                await self._flows.wait()
                if is_client:
                    self.sent += len(data)
                elif self._drops_answers:
                    continue
                writer.write(data)
                await writer.drain()
        writer.transport.abort()
