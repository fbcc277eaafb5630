"""Validate submitted items one by one: each becomes a row, or a rejection with its line and reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipeline.connections.destinations import Destinations
from pipeline.database.row import Row
from pipeline.domain.bounds import ITEM_KEY
from pipeline.domain.did_you_mean import hint, list_names
from pipeline.domain.input_cursor import InputCursor
from pipeline.domain.item import Item
from pipeline.domain.payload import Record, Rejection, encode, to_text
from pipeline.errors import InvalidInput, InvalidItems
from pipeline.stages.text.normal_form import is_empty

#: Rejections kept for an error, and characters kept of each item's text. Further rejections are only counted.
MAX_REJECTIONS = 1_000
MAX_TEXT_LENGTH = 200
#: Field names remembered to suggest the nearest to a misspelled one.
MAX_KNOWN_FIELDS = 100

#: What may be submitted: an item, a payload, or what a reader makes of one line.
Given = Item | Mapping[str, Any] | Record | Rejection

#: Called with each refused item.
OnReject = Callable[[Rejection], object]


@dataclass(frozen=True, slots=True)
class Rules:
    """What every item of a submission must satisfy."""

    text_field: str | None
    accepts_empty_text: bool
    key_field: str | None
    callback_url_field: str | None
    max_payload_bytes: int
    destinations: Destinations
    has_secret: bool


def check_payload(rules: Rules, payload: Mapping[str, Any], encoded: bytes | None = None) -> str:
    """Return a payload as it is stored.

    Args:
        encoded: its compact JSON, if a reader made that to check it.

    Raises:
        InvalidInput: it lacks the text that the classifier reads, or cannot be stored.
    """
    field = rules.text_field
    if field is not None and not isinstance(payload.get(field), str):
        raise InvalidInput(_missing(field, payload, "which the classifier reads"))
    if field is not None and not rules.accepts_empty_text and is_empty(payload[field]):
        advice = 'fill it in, or accept such items with `empty = "accept"` in [input]'
        raise InvalidInput(f"its text is empty (field {field!r}); {advice}")
    if encoded is not None and len(encoded) <= rules.max_payload_bytes:
        return encoded.decode()
    return encode(payload, max_bytes=rules.max_payload_bytes)


@dataclass(frozen=True, slots=True)
class ValidatorState:
    """What a validator knows after the items that it has seen.

    Args:
        position: of the last item.
        after: where the source goes on after it; None: the source cannot go on.
        rejected: number of items that were refused.
        without_url: number of items without a value in the field that holds their callback URL.
        has_url_field: whether an item had that field.
    """

    position: int = 0
    after: InputCursor | None = None
    rejected: int = 0
    without_url: int = 0
    has_url_field: bool = False


class ItemValidator:
    """Validates items in input order, without keeping them.

    Args:
        rules: what every item must satisfy.
        on_reject: called with each refused item.
        all_or_none: whether one refused item refuses the submission.
        state: what a validator before this one knew, if this one goes on where that one was interrupted.
    """

    def __init__(
        self, rules: Rules, on_reject: OnReject | None, *, all_or_none: bool, state: ValidatorState | None = None
    ) -> None:
        before = state or ValidatorState()
        self._rules = rules
        self._all_or_none = all_or_none
        self._on_reject = on_reject
        self._position, self._after = before.position, before.after
        self.rejected = before.rejected
        #: Items without a value in the field that holds their callback URL.
        self.without_url = before.without_url
        self._has_url_field = before.has_url_field
        self._known_fields: set[str] = set()
        self._rejections: list[Rejection] = []
        self._reasons: dict[str, _Occurrences] = {}

    @property
    def state(self) -> ValidatorState:
        """What is known after the item that was read last."""
        return ValidatorState(self._position, self._after, self.rejected, self.without_url, self._has_url_field)

    @property
    def refuses_all(self) -> bool:
        """Whether an item was refused, and with it all."""
        return self._all_or_none and self.rejected > 0

    def rows(self, given: Iterable[Given], now: Callable[[], datetime], *, after: int | None = None) -> Iterator[Row]:
        """Yield a row without ids for each valid item. Refused items still take up a position.

        Args:
            after: the position after which theirs begin; None: that of the item that was read last.
        """
        first = self._position if after is None else after
        for number, each in enumerate(given, 1):
            self._position = first + number
            if isinstance(each, Record | Rejection):
                self._after = each.after
            try:
                row = self._row(each, number)
            except _Refused as refusal:
                self.refuse(refusal.line, str(refusal), refusal.text)
                continue
            row |= {"position": self._position, "created_at": now()}
            yield row

    def refuse(self, line: int, reason: str, text: str) -> None:
        """Count a rejection and pass it to `on_reject`."""
        self.rejected += 1
        if reason in self._reasons or len(self._reasons) < MAX_REJECTIONS:
            self._reasons.setdefault(reason, _Occurrences(line)).count += 1
        if len(self._rejections) < MAX_REJECTIONS:
            self._rejections.append(Rejection(line, reason, text[:MAX_TEXT_LENGTH]))
        if self._on_reject:
            self._on_reject(Rejection(line, reason, text))

    def raise_if_refused(self) -> None:
        """Raise `InvalidItems` if an item was refused and the submission is all or none."""
        if self.refuses_all:
            raise self.error(f"{self.rejected:,} of the items cannot be accepted, so none were")

    def raise_if_unknown(self) -> None:
        """Raise `InvalidInput` if no item has the field for callback URLs: its name is probably misspelled."""
        field = self._rules.callback_url_field
        if field is not None and not self._has_url_field:
            near = hint(field, self._known_fields)
            raise InvalidInput(f"no item has the field {field!r}, which should hold its callback URL{near}")

    def error(self, message: str) -> InvalidItems:
        """Return an error that lists the ten earliest reasons, with their lines."""
        # Sorted, because duplicate keys are found after the other faults of a line.
        reasons = sorted(self._reasons.items(), key=lambda each: each[1].first_line)
        lines = [f"{message}:" if reasons else message]
        lines += [f"  {found.lines}: {reason}" for reason, found in reasons[:10]]
        listed = sum(found.count for _, found in reasons[:10])
        if self.rejected > listed:
            lines.append(f"  … and {self.rejected - listed:,} more")
        self._rejections.sort(key=lambda each: each.line)
        return InvalidItems("\n".join(lines), tuple(self._rejections), self.rejected)

    def _row(self, given: Given, number: int) -> Row:
        if isinstance(given, Rejection):
            raise _Refused(given.line, given.reason, given.text)
        item, line = _item(given, number)
        try:
            # The payload first: key and URL may be fields of it.
            return {
                "payload": check_payload(
                    self._rules, item.payload, given.encoded if isinstance(given, Record) else None
                ),
                "key": self._key(item),
                "callback_url": self._callback_url(item),
                "line": line,
            }
        except InvalidInput as error:
            raise _Refused(line, str(error), to_text(item.payload)) from None

    def _key(self, item: Item) -> str | None:
        field = self._rules.key_field
        if item.key is not None or field is None:
            return None if item.key is None else _checked_key(item.key)
        value = item.payload.get(field)
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise InvalidInput(_missing(field, item.payload, "which names the item", "a string or a whole number"))
        return _checked_key(str(value))

    def _callback_url(self, item: Item) -> str | None:
        url, field = item.callback_url, self._rules.callback_url_field
        if url is None and field is not None:
            url = item.payload.get(field) or None
            self._has_url_field |= field in item.payload
            if len(self._known_fields) < MAX_KNOWN_FIELDS:
                self._known_fields.update(map(str, item.payload))
        if url is None:
            self.without_url += field is not None
            return None
        name = "callback_url" if item.callback_url is not None or field is None else field
        callback = self._rules.destinations.check(str(url), name=name)
        if not self._rules.has_secret and not callback.is_target:
            raise InvalidInput("it has a callback URL, but PIPELINE_WEBHOOK_SECRET is not set")
        return callback.url


@dataclass(slots=True)
class _Occurrences:
    """How often one reason occurred: a misspelled header is reported once, not once per line."""

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


def _item(given: Item | Mapping[str, Any] | Record, number: int) -> tuple[Item, int]:
    match given:
        case Item():
            return given, number
        case Record():
            return Item(given.payload), given.line
        case Mapping():
            return Item(given), number
    raise _Refused(number, f"it is a {type(given).__name__}; an item is a mapping or a pipeline.Item", str(given))


def _checked_key(key: object) -> str:
    if not isinstance(key, str) or not key.strip():
        raise InvalidInput(f"its key is {key!r}; a key is a non-empty string")
    problem = ITEM_KEY.find_problem(key)
    if problem:
        raise InvalidInput(f"its key {problem}")
    return key


def _missing(field: str, payload: Mapping[str, Any], purpose: str, expected: str = "a string") -> str:
    if field in payload:
        return f"field {field!r}, {purpose}, is {_kind(payload[field])}; expected {expected}"
    known = hint(field, map(str, payload)) or f"; it has {list_names(sorted(map(str, payload)))}"
    return f"it has no field {field!r}, {purpose}{known}"


def _kind(value: object) -> str:
    return {type(None): "null", bool: "a boolean", list: "a list", dict: "an object"}.get(type(value), "a number")
