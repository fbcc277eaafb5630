"""One batch that a WebSocket follows."""

from __future__ import annotations

import orjson
from starlette.websockets import WebSocket

from pipeline.http_api.streaming.batch_feed import LogSlice
from pipeline.http_api.streaming.feed_reader import FeedReader
from pipeline.http_api.streaming.formats import end_data, socket_event

#: How often a reader looks whether it is at the end although nothing woke it.
_PATIENCE_SECONDS = 60.0


class Subscription:
    """Sends the events of one batch over a WebSocket.

    Args:
        types: of events to send; None: all.
        credit: events to send before more credit comes; None: any number.
    """

    def __init__(
        self, batch: str, reader: FeedReader, types: frozenset[str] | None, credit: int | None, websocket: WebSocket
    ) -> None:
        self.batch = batch
        self._reader, self._types, self._credit, self._websocket = reader, types, credit, websocket

    def add_credit(self, number: int) -> None:
        """Send more events. Without effect if their number is not limited."""
        if self._credit is not None:
            self._credit += number
            self._reader.wake()

    async def follow(self) -> None:
        """Send events until the batch is complete and all of them are sent, or the connection ends.

        Raises:
            NotFound: the batch was pruned.
            WebSocketDisconnect: the client is gone.
        """
        reader = self._reader
        with reader.joined():
            while not reader.is_stopped:
                found = await reader.read() if self._credit != 0 else None
                if found is not None:
                    await self._send(found)
                elif reader.is_at_end:
                    assert reader.version is not None
                    end = {"op": "end", "batch": self.batch, **end_data(reader.version)}
                    await self._websocket.send_text(orjson.dumps(end).decode())
                    return
                else:
                    await reader.wait(_PATIENCE_SECONDS)
                    reader.look()

    async def _send(self, found: LogSlice) -> None:
        for event in found.chosen(self._types):
            if self._credit == 0:
                # Kept in the log rather than here: it is read again when there is credit.
                self._reader.go_back(event.seq - 1)
                return
            if self._credit is not None:
                self._credit -= 1
            await self._websocket.send_text(socket_event(self.batch, event))
