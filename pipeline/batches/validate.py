"""Validate submitted items one by one: each becomes a row, or a rejection with its line and reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pipeline.connections.destinations import Destinations
from pipeline.database.row import Row
from pipeline.domain.bounds import ITEM_KEY
from pipeline.domain.did_you_mean import hint, list_names
from pipeline.domain.inputs.input_cursor import InputCursor
from pipeline.domain.inputs.input_mapping import InputMapping, text_of
from pipeline.domain.item import Item
from pipeline.domain.payload import Record, Rejection, UnreadRecord, encode, to_text
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
    """What every item of a submission must satisfy.

    Args:
        text_fields: the fields that the classifier reads.
        mapping: how a record becomes a payload.
    """

    text_fields: tuple[str, ...]
    mapping: InputMapping
    accepts_empty_text: bool
    key_field: str | None
    callback_url_field: str | None
    max_payload_bytes: int
    destinations: Destinations
    has_secret: bool


def check_payload(rules: Rules, payload: Mapping[str, Any], encoded: bytes | None = None) -> str:
    """Return a payload, mapped already, as it is stored.

    Args:
        encoded: its compact JSON, if a reader made that to check it and the mapping left it as it was.

    Raises:
        InvalidInput: it lacks the text that the classifier reads, or cannot be stored.
    """
    _check_text(rules, payload)
    kept = rules.mapping.keep(payload)
    if kept is not payload:
        return encode(kept, max_bytes=rules.max_payload_bytes)
    if encoded is not None and len(encoded) <= rules.max_payload_bytes:
        return encoded.decode()
    return encode(payload, max_bytes=rules.max_payload_bytes)


def _check_text(rules: Rules, payload: Mapping[str, Any]) -> None:
    """Check the text that the classifier reads.

    Raises:
        InvalidInput: it is missing, is no text, or is empty although it must not be.
    """
    for name in rules.text_fields:
        value = payload.get(name)
        if value is not None and not isinstance(value, str | bool | int | float):
            raise InvalidInput(_missing(rules, name, payload, "which the classifier reads"))
    if all(payload.get(name) is None for name in rules.text_fields):
        is_null = any(name in payload for name in rules.text_fields)
        if not (is_null and rules.mapping.on_null == "empty"):
            raise InvalidInput(_missing(rules, rules.text_fields[0], payload, "which the classifier reads"))
    if not rules.accepts_empty_text and is_empty(text_of(payload, rules.text_fields)):
        named = ", ".join(map(repr, rules.text_fields))
        fields = f"field {named}" if len(rules.text_fields) == 1 else f"fields {named}"
        advice = 'fill it in, or accept such items with `empty = "accept"` in [input]'
        raise InvalidInput(f"its text is empty ({fields}); {advice}")


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
        #: The position of the first item in each file, and the file's name, if there are several.
        self._files: list[tuple[int, str]] = []

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
                self._after = each.after if isinstance(each, Record | UnreadRecord) else None
                if each.file is not None and (not self._files or self._files[-1][1] != each.file):
                    self._files.append((self._position, each.file))
            try:
                row = self._row(each, number)
            except _Refused as refusal:
                self.refuse(refusal.rejection)
                continue
            row |= {"position": self._position, "created_at": now()}
            yield row

    def refuse(self, rejection: Rejection) -> None:
        """Count a rejection and pass it to `on_reject`."""
        self.rejected += 1
        reason = rejection.reason
        if reason in self._reasons or len(self._reasons) < MAX_REJECTIONS:
            self._reasons.setdefault(reason, _Occurrences(rejection)).count += 1
        if len(self._rejections) < MAX_REJECTIONS:
            self._rejections.append(replace(rejection, text=rejection.text[:MAX_TEXT_LENGTH]))
        if self._on_reject:
            self._on_reject(rejection)

    def name_item(self, position: int) -> str:
        """Return what an item that was read before is called in messages: by its file, if there are several."""
        before = [file for first, file in self._files if first <= position]
        return f"item {position} in {before[-1]}" if before else f"item {position}"

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
        files = {file: number for number, (_, file) in enumerate(self._files)}

        def place(rejection: Rejection) -> tuple[int, int]:
            return files.get(rejection.file or "", 0), rejection.line

        reasons = sorted(self._reasons.items(), key=lambda each: place(each[1].first))
        lines = [f"{message}:" if reasons else message]
        lines += [f"  {found.places}: {reason}" for reason, found in reasons[:10]]
        listed = sum(found.count for _, found in reasons[:10])
        if self.rejected > listed:
            lines.append(f"  … and {self.rejected - listed:,} more")
        self._rejections.sort(key=place)
        return InvalidItems("\n".join(lines), tuple(self._rejections), self.rejected)

    def _row(self, given: Given, number: int) -> Row:
        if isinstance(given, Rejection):
            raise _Refused(given.line, given.reason, given.text, given.file)
        item, line = _item(given, number)
        file = given.file if isinstance(given, Record) else None
        try:
            payload = self._rules.mapping.apply(item.payload)
            encoded = given.encoded if isinstance(given, Record) and payload is item.payload else None
            # The payload first: key and URL may be fields of it, also of those that are not stored.
            return {
                "payload": check_payload(self._rules, payload, encoded),
                "key": self._key(item.key, payload),
                "callback_url": self._callback_url(item.callback_url, payload),
                "line": line,
                "file": file,
            }
        except InvalidInput as error:
            raise _Refused(line, str(error), to_text(item.payload), file) from None

    def _key(self, given: object, payload: Mapping[str, Any]) -> str | None:
        field = self._rules.key_field
        if given is not None or field is None:
            return None if given is None else _checked_key(given)
        value = payload.get(field)
        if not isinstance(value, str | int) or isinstance(value, bool):
            purpose = "which names the item"
            raise InvalidInput(_missing(self._rules, field, payload, purpose, "a string or a whole number"))
        return _checked_key(str(value))

    def _callback_url(self, given: object, payload: Mapping[str, Any]) -> str | None:
        url, field = given, self._rules.callback_url_field
        if url is None and field is not None:
            url = payload.get(field) or None
            self._has_url_field |= field in payload
            if len(self._known_fields) < MAX_KNOWN_FIELDS:
                self._known_fields.update(map(str, payload))
        if url is None:
            self.without_url += field is not None
            return None
        name = "callback_url" if given is not None or field is None else field
        callback = self._rules.destinations.check(str(url), name=name)
        if not self._rules.has_secret and not callback.is_target:
            raise InvalidInput("it has a callback URL, but PIPELINE_WEBHOOK_SECRET is not set")
        return callback.url


@dataclass(slots=True)
class _Occurrences:
    """How often one reason occurred: a misspelled header is reported once, not once per line."""

    first: Rejection
    count: int = 0

    @property
    def places(self) -> str:
        return self.first.place + (f" and {self.count - 1:,} more" if self.count > 1 else "")


class _Refused(Exception):
    def __init__(self, line: int, reason: str, text: str, file: str | None = None) -> None:
        super().__init__(reason)
        self.rejection = Rejection(line, reason, text, file)


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


def _missing(rules: Rules, field: str, payload: Mapping[str, Any], purpose: str, expected: str = "a string") -> str:
    if field in payload:
        return f"field {field!r}, {purpose}, is {_kind(payload[field])}; expected {expected}"
    old = rules.mapping.source_name(field)
    known = hint(old, map(str, payload)) or f"; it has {list_names(sorted(map(str, payload)))}"
    return f"it has no field {old!r}, {purpose}{known}"


def _kind(value: object) -> str:
    return {type(None): "null", bool: "a boolean", list: "a list", dict: "an object"}.get(type(value), "a number")
