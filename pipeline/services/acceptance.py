"""What is given becomes rows, or is refused with its place and the reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipeline.domain.callback import check_callback_url
from pipeline.domain.item import Item
from pipeline.domain.nearest import hint
from pipeline.domain.payload import Record, Rejection, encode, problem
from pipeline.errors import InvalidInput, InvalidItems
from pipeline.settings import Network
from pipeline.storage.row import Row
from pipeline.storage.tables import POSITIONS_PER_BATCH

#: Refusals listed in an error; the others are counted.
SHOWN = 1_000

#: What may be submitted: an item, a payload, or what a reader makes of a line.
Given = Item | Mapping[str, Any] | Record | Rejection

#: Told of each refused item.
OnReject = Callable[[Rejection], None]


@dataclass(frozen=True, slots=True)
class Rules:
    """What every item of a submission is checked against."""

    text_field: str | None
    key_field: str | None
    callback_url_field: str | None
    max_payload_bytes: int
    allow_private: Sequence[Network]
    has_secret: bool


class Acceptance:
    """Checks items one by one, in input order; keeps no item."""

    def __init__(self, rules: Rules, on_reject: OnReject | None) -> None:
        self._rules = rules
        self._on_reject = on_reject
        self.rejected = 0
        self._shown: list[Rejection] = []

    def rows(self, given: Iterable[Given], batch_id: int, now: Callable[[], datetime]) -> Iterator[Row]:
        """Yield a row for each acceptable item; a refused one keeps its position."""
        for position, each in enumerate(given, 1):
            try:
                row = self._row(each, position)
            except _Refused as refusal:
                self.refuse(refusal.line, str(refusal), refusal.text)
                continue
            row |= {
                "id": batch_id * POSITIONS_PER_BATCH + position,
                "batch_id": batch_id,
                "position": position,
                "created_at": now(),
            }
            yield row

    def refuse(self, line: int, reason: str, text: str = "") -> None:
        """Count a refusal, and pass it on where refusals are wanted."""
        rejection = Rejection(line, reason, text)
        self.rejected += 1
        if len(self._shown) < SHOWN:
            self._shown.append(rejection)
        if self._on_reject:
            self._on_reject(rejection)

    @property
    def will_refuse_all(self) -> bool:
        """An item was refused, and nobody wants the rest without it."""
        return bool(self.rejected) and self._on_reject is None

    def raise_if_refused(self) -> None:
        """Raise `InvalidItems` where one refused item refuses all."""
        if self.will_refuse_all:
            raise self.error(f"{self.rejected:,} of the items cannot be accepted, so none is")

    def error(self, message: str) -> InvalidItems:
        lines = [f"{message}:" if self._shown else message]
        lines += [f"  line {each.line}: {each.reason}" for each in self._shown[:10]]
        if self.rejected > 10:
            lines.append(f"  … and {self.rejected - 10:,} more")
        return InvalidItems("\n".join(lines), tuple(self._shown))

    def _row(self, given: Given, position: int) -> Row:
        if isinstance(given, Rejection):
            raise _Refused(given.line, given.reason, given.text)
        item, line = _item(given, position)
        try:
            # The payload first: only what it holds can be read as key or URL.
            return {
                "payload": self._payload(item),
                "key": self._key(item),
                "callback_url": self._callback_url(item),
                "line": line,
            }
        except InvalidInput as error:
            raise _Refused(line, str(error)) from None

    def _payload(self, item: Item) -> str:
        field = self._rules.text_field
        if field is not None and not isinstance(item.payload.get(field), str):
            raise InvalidInput(_missing(field, item.payload, "which the classifier reads as text"))
        return encode(item.payload, max_bytes=self._rules.max_payload_bytes)

    def _key(self, item: Item) -> str | None:
        field = self._rules.key_field
        if item.key is not None or field is None:
            return None if item.key is None else _checked_key(item.key)
        value = item.payload.get(field)
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise InvalidInput(_missing(field, item.payload, "which names the item"))
        return _checked_key(str(value))

    def _callback_url(self, item: Item) -> str | None:
        url, field = item.callback_url, self._rules.callback_url_field
        if url is None and field is not None:
            url = item.payload.get(field) or None
        if url is None:
            return None
        if not self._rules.has_secret:
            raise InvalidInput("it has a callback URL, and PIPELINE_WEBHOOK_SECRET is not set")
        return check_callback_url(str(url), self._rules.allow_private).url


class _Refused(Exception):
    def __init__(self, line: int, reason: str, text: str = "") -> None:
        super().__init__(reason)
        self.line = line
        self.text = text


def _item(given: Item | Mapping[str, Any] | Record, position: int) -> tuple[Item, int]:
    match given:
        case Item():
            return given, position
        case Record():
            return Item(given.payload), given.line
        case Mapping():
            return Item(given), position
    raise _Refused(position, f"it is a {type(given).__name__}; an item is a mapping or a pipeline.Item")


def _checked_key(key: object) -> str:
    if not isinstance(key, str) or not key.strip():
        raise InvalidInput(f"its key is {key!r}; a key is a text that is not empty")
    if len(key) > 500:
        raise InvalidInput(f"its key has {len(key):,} characters; at most 500 are allowed")
    reason = problem({"key": key})
    if reason:
        raise InvalidInput(reason)
    return key


def _missing(field: str, payload: Mapping[str, Any], purpose: str) -> str:
    if field in payload:
        return f"field {field!r}, {purpose}, is {_kind(payload[field])}; expected a text"
    known = hint(field, map(str, payload)) or f"; it has {', '.join(sorted(map(str, payload))[:20]) or 'no field'}"
    return f"it has no field {field!r}, {purpose}{known}"


def _kind(value: object) -> str:
    return {type(None): "null", bool: "a boolean", list: "a list", dict: "an object"}.get(type(value), "a number")
