"""Reads AMQP frames: one read from the socket is split into all the frames that it contains."""

from __future__ import annotations

import socket
from collections import deque
from struct import Struct
from typing import Any

from amqp.exceptions import UnexpectedFrame
from amqp.transport import TCPTransport

#: Bytes in one read. The event loop does nothing else while their messages are handled.
BULK = 64 * 1024
_HEAD = Struct(">BHI")
_METHOD, _HEADER, _BODY = 1, 2, 3
_DELIVER = b"\x00\x3c\x00\x3c"
_END = 0xCE


class FrameSocket(TCPTransport):
    """py-amqp's connection to a server, with the frames that have been read and not handled yet.

    Only the bytes of an incomplete frame remain in its read buffer.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.frames: deque[tuple[int, int, bytes]] = deque()

    def take(self) -> None:
        """Read what has arrived, without waiting.

        Raises:
            OSError: the connection is lost.
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

    def take_delivery(self) -> tuple[int, bytes, bytes, bytes] | None:
        """Return and remove the first frames if they are one complete message: channel, method, header and body.

        Returns:
            None if the first frames are anything else.
        """
        frames = self.frames
        if len(frames) < 3:
            return None
        (kind, channel, method), header, body = frames[0], frames[1], frames[2]
        is_whole = (
            kind == _METHOD
            and method.startswith(_DELIVER)
            and header[:2] == (_HEADER, channel)
            and body[:2] == (_BODY, channel)
            and int.from_bytes(header[2][4:12], "big") == len(body[2])
        )
        if not is_whole:
            return None
        for _ in range(3):
            frames.popleft()
        return channel, method, header[2], body[2]

    def read_frame(self, **options: Any) -> Any:
        return self.frames.popleft() if self.frames else super().read_frame(**options)

    def close(self) -> None:
        self.frames.clear()
        super().close()
