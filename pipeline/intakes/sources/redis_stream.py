"""Redis: the entries of one stream in their order, without a consumer group.

A group would keep entries that were trimmed as pending for ever.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import orjson
import redis
from redis.exceptions import AuthenticationError, RedisError

from pipeline.domain.urls.intake_source import StreamPlace
from pipeline.errors import InvalidSettings, SourceUnavailable
from pipeline.intakes.rules.messages import Chunk, IntakeMessage, OffsetRange
from pipeline.intakes.rules.stream_ids import FIRST, id_before, offset_after, to_offset
from pipeline.intakes.sources.source import Gap, IntakeReader, SourceRestarted

#: A stream has one partition.
PARTITION = "-"
#: The field of an entry that holds its message.
BODY = b"body"
#: Seconds for anything but waiting for entries.
_TIMEOUT = 10.0


class RedisStream:
    """Reads a stream from an offset on."""

    is_exclusive, is_drained = True, True

    def __init__(self, place: StreamPlace, options: Mapping[str, str], shown: str, reader: IntakeReader) -> None:
        self._stream, self._shown = place.stream, shown
        self.unplaced: tuple[str, ...] = (PARTITION,)
        self._next = FIRST
        #: How many entries the stream ever had below the next one to read; None: not known yet.
        self._ordinal: int | None = None
        self._is_new = True
        tls: dict[str, Any] = {"ssl": True, "ssl_ca_certs": options.get("ca_file")} if place.has_tls else {}
        self._client = redis.Redis(
            host=place.host,
            port=place.port,
            db=place.database,
            username=options.get("username"),
            password=options.get("password"),
            socket_timeout=_TIMEOUT,
            socket_connect_timeout=_TIMEOUT,
            **tls,
        )

    def ends(self) -> dict[str, str]:
        with self._explained():
            info = self._info()
        return {PARTITION: FIRST if info is None else offset_after(info["last-generated-id"].decode())}

    def earliest(self, partition: str) -> str:
        return FIRST

    def seek(self, partition: str, offset: str) -> None:
        self._next, self._ordinal, self._is_new = offset, None, True
        self.unplaced = ()

    def take(self, limit: int, seconds: float) -> Chunk:
        with self._explained():
            added = self._check_history()
            wait = max(1, round(seconds * 1000))
            found: Any = self._client.xread({self._stream: id_before(self._next)}, count=limit, block=wait)
        entries = found[0][1] if found else []
        if not entries:
            self._ordinal = added
            return Chunk(())
        if self._ordinal is not None:
            self._ordinal += len(entries)
        start, self._next = self._next, offset_after(entries[-1][0].decode())
        messages = [IntakeMessage(_body(fields), PARTITION, to_offset(id_.decode())) for id_, fields in entries]
        return Chunk(messages, (OffsetRange(PARTITION, start, self._next),))

    def _check_history(self) -> int | None:
        """Return how many entries the stream ever had, None if the server does not count them.

        Raises:
            Gap: entries were trimmed that this reader has not read, or, at its start, perhaps has not.
            SourceRestarted
        """
        info = self._info()
        if info is None or self._next == FIRST:
            return None
        last = info["last-generated-id"].decode()
        if offset_after(last) < self._next:
            raise SourceRestarted(f"stream {self._stream!r} begins again at {last}")
        added = info.get("entries-added")
        entry = info["first-entry"]
        if entry is None or added is None:
            return added
        first, removed = entry[0].decode(), added - info["length"]
        is_new, self._is_new = self._is_new, False
        has_last = to_offset(first) < self._next
        if not has_last and (is_new if self._ordinal is None else removed > self._ordinal):
            self._ordinal = removed
            raise Gap(id_before(self._next), first)
        return int(added)

    def _info(self) -> dict[str, Any] | None:
        """Return what the server knows of the stream, or None if there is none."""
        try:
            found: Any = self._client.execute_command("XINFO", "STREAM", self._stream)  # type: ignore[no-untyped-call]
        except redis.ResponseError as error:
            if "no such key" in str(error):
                return None
            raise
        pairs = found.items() if isinstance(found, dict) else zip(found[::2], found[1::2], strict=True)
        return {key.decode() if isinstance(key, bytes) else str(key): value for key, value in pairs}

    def confirm(self) -> None:
        """Do nothing: the stream stays as it is."""

    def keep_alive(self) -> None:
        """Do nothing: the connection may be idle."""

    def put_back(self) -> None:
        self.unplaced = (PARTITION,)

    def backlog(self, positions: Mapping[str, str]) -> int | None:
        """Count the entries behind the position: all that the server has, less those that are accepted."""
        start = positions.get(PARTITION, FIRST)
        with self._explained():
            info = self._info()
            if info is None:
                return 0
            if start == FIRST or info.get("entries-added") is None or self._ordinal is None:
                return int(info["length"]) if start == FIRST else None
            return max(0, int(info["entries-added"]) - self._ordinal)

    def close(self) -> None:
        self._client.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except AuthenticationError as error:
            raise InvalidSettings(f"{self._shown} refuses the credentials: {error}") from None
        except redis.ResponseError as error:
            raise InvalidSettings(f"{self._shown} cannot be read: {error}") from None
        except (RedisError, OSError) as error:
            raise SourceUnavailable(f"{self._shown} does not answer: {type(error).__name__}") from None


def _body(fields: dict[bytes, bytes] | None) -> bytes | None:
    """Return the message of an entry: its field `body`, or else its fields as an object of texts."""
    if fields is None:
        return None
    if BODY in fields:
        return fields[BODY]
    try:
        return orjson.dumps({key.decode(): value.decode() for key, value in fields.items()})
    except UnicodeDecodeError:
        # Refused as no JSON, with the bytes.
        return b" ".join(part for field in fields.items() for part in field)
