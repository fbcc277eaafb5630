"""AMQP's frames as they come: all that a read brings is taken apart at once."""

from __future__ import annotations

import socket
from collections import deque
from struct import Struct
from typing import Any

from amqp.exceptions import UnexpectedFrame
from amqp.transport import TCPTransport

#: Bytes in one read: while their messages are handled, the event loop does nothing else.
BULK = 64 * 1024
_HEAD = Struct(">BHI")
_END = 0xCE


class Socket(TCPTransport):
    """py-amqp's connection to a server, and the frames that were read together and are not handled yet.

    Bytes are kept back only while they are no complete frame.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.frames: deque[tuple[int, int, bytes]] = deque()

    def take(self) -> None:
        """Read what is there, without waiting.

        Raises:
            OSError: the connection is gone.
        """
        try:
            found = self.sock.recv(BULK, socket.MSG_DONTWAIT)
            if not found:
                raise OSError("Server unexpectedly closed connection")
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.connected = False
            raise
        self._split(self._read_buffer + found)

    def _split(self, read: bytes) -> None:
        start, length = 0, len(read)
        while length - start > _HEAD.size:
            kind, channel, size = _HEAD.unpack_from(read, start)
            payload = start + _HEAD.size
            end = payload + size
            if end >= length:
                break
            if read[end] != _END:
                raise UnexpectedFrame(f"Received frame_end {read[end]:#04x} while expecting {_END:#04x}")
            self.frames.append((kind, channel, read[payload:end]))
            start = end + 1
        self._read_buffer = read[start:]

    def read_frame(self, **options: Any) -> Any:
        return self.frames.popleft() if self.frames else super().read_frame(**options)

    def close(self) -> None:
        self.frames.clear()
        super().close()
