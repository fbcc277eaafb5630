"""What is given becomes rows, or is refused with its place and the reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipeline.database.row import Row
from pipeline.database.tables import POSITIONS_PER_BATCH
from pipeline.domain.callback_url import check_callback_url
from pipeline.domain.did_you_mean import hint
from pipeline.domain.item import Item
from pipeline.domain.payload import Record, Rejection, encode, problem, text_of
from pipeline.errors import InvalidInput, InvalidItems
from pipeline.settings import Network

#: Refusals listed in an error, and characters of each item's text; the others are counted.
SHOWN = 1_000
SHOWN_TEXT = 200
#: Names of fields that are remembered for the nearest to a misspelt one.
KNOWN_FIELDS = 100

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


class ItemValidator:
    """Checks items one by one, in input order; keeps no item."""

    def __init__(self, rules: Rules, on_reject: OnReject | None, *, all_or_none: bool) -> None:
        self._rules = rules
        self._all_or_none = all_or_none
        self._on_reject = on_reject
        self.rejected = 0
        #: Items that get no callback of their own although a field for it is named.
        self.without_url = 0
        self._has_url_field = False
        self._known_fields: set[str] = set()
        self._shown: list[Rejection] = []
        self._reasons: dict[str, _Found] = {}

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

    def refuse(self, line: int, reason: str, text: str) -> None:
        """Count a refusal, and pass it on where refusals are wanted."""
        self.rejected += 1
        if reason in self._reasons or len(self._reasons) < SHOWN:
            self._reasons.setdefault(reason, _Found(line)).count += 1
        if len(self._shown) < SHOWN:
            self._shown.append(Rejection(line, reason, text[:SHOWN_TEXT]))
        if self._on_reject:
            self._on_reject(Rejection(line, reason, text))

    def raise_if_refused(self) -> None:
        """Raise `InvalidItems` where one refused item refuses all."""
        if self.rejected and self._all_or_none:
            raise self.error(f"{self.rejected:,} of the items cannot be accepted, so none is")

    def raise_if_unknown(self) -> None:
        """Raise `InvalidInput` where a field for callback URLs is named that no item has: it is misspelt."""
        field = self._rules.callback_url_field
        if field is not None and not self._has_url_field:
            near = hint(field, self._known_fields)
            raise InvalidInput(f"no item has the field {field!r}, which is to hold its callback URL{near}")

    def error(self, message: str) -> InvalidItems:
        # Keys that come twice are found later than what a line alone shows.
        reasons = sorted(self._reasons.items(), key=lambda each: each[1].first_line)
        lines = [f"{message}:" if reasons else message]
        lines += [f"  {found.lines}: {reason}" for reason, found in reasons[:10]]
        told = sum(found.count for _, found in reasons[:10])
        if self.rejected > told:
            lines.append(f"  … and {self.rejected - told:,} more")
        self._shown.sort(key=lambda each: each.line)
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
            raise _Refused(line, str(error), text_of(item.payload)) from None

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
            raise InvalidInput(_missing(field, item.payload, "which names the item", "a text or a whole number"))
        return _checked_key(str(value))

    def _callback_url(self, item: Item) -> str | None:
        url, field = item.callback_url, self._rules.callback_url_field
        if url is None and field is not None:
            url = item.payload.get(field) or None
            self._has_url_field |= field in item.payload
            if len(self._known_fields) < KNOWN_FIELDS:
                self._known_fields.update(map(str, item.payload))
        if url is None:
            self.without_url += field is not None
            return None
        if not self._rules.has_secret:
            raise InvalidInput("it has a callback URL, and PIPELINE_WEBHOOK_SECRET is not set")
        name = "callback_url" if item.callback_url is not None or field is None else field
        return check_callback_url(str(url), self._rules.allow_private, name=name).url


@dataclass(slots=True)
class _Found:
    """How often one reason was found: a misspelt header is told once, not for each line."""

    first_line: int
    count: int = 0

    @property
    def lines(self) -> str:
        return f"line {self.first_line}" + (f" and {self.count - 1:,} more" if self.count > 1 else "")


class _Refused(Exception):
    def __init__(self, line: int, reason: str, text: str) -> None:
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
    raise _Refused(position, f"it is a {type(given).__name__}; an item is a mapping or a pipeline.Item", str(given))


def _checked_key(key: object) -> str:
    if not isinstance(key, str) or not key.strip():
        raise InvalidInput(f"its key is {key!r}; a key is a text that is not empty")
    if len(key) > 500:
        raise InvalidInput(f"its key has {len(key):,} characters; at most 500 are allowed")
    reason = problem({"key": key})
    if reason:
        raise InvalidInput(reason)
    return key


def _missing(field: str, payload: Mapping[str, Any], purpose: str, expected: str = "a text") -> str:
    if field in payload:
        return f"field {field!r}, {purpose}, is {_kind(payload[field])}; expected {expected}"
    known = hint(field, map(str, payload)) or f"; it has {', '.join(sorted(map(str, payload))[:20]) or 'no field'}"
    return f"it has no field {field!r}, {purpose}{known}"


def _kind(value: object) -> str:
    return {type(None): "null", bool: "a boolean", list: "a list", dict: "an object"}.get(type(value), "a number")
