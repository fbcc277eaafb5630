"""Guards: what failures of a batch are tolerated, and what happens beyond."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any

from pipeline.domain.bounds import shown
from pipeline.domain.item import Stage
from pipeline.errors import InvalidInput

_LONGEST_NAME = 32
_SMALLEST_RATE, _LARGEST_RATE = 0.001, 0.9
_MOST_IN_FLIGHT = 1_000_000
_MOST_ERRORS = 50
#: How urgent an alert can be, as `alerts.rules.episode.Severity` has it.
_SEVERITIES = ("info", "warning", "error", "critical")
#: Guards of one batch.
MOST_GUARDS = 20


class GuardAction(StrEnum):
    """What a guard does when it fires."""

    #: Only raise an alert.
    ALERT = "alert"
    #: Pause the batch as well.
    PAUSE = "pause"
    #: Cancel the batch as well.
    CANCEL = "cancel"


class GuardCounts(StrEnum):
    """What a guard counts."""

    #: Final items: a failure is an item that is dead, after its retries.
    ITEMS = "items"
    #: Attempts at stages: a failure is an attempt that failed, whether or not the item is retried.
    ATTEMPTS = "attempts"


class GuardState(StrEnum):
    """The state of a guard: `watching → fired`, and back once the batch is resumed or the guard is reset."""

    WATCHING = "watching"
    FIRED = "fired"


@dataclass(frozen=True, slots=True)
class Guard:
    """A guard against failures: it counts what fails in a batch, and pauses the batch when too much does.

    Args:
        rate: The tolerated share of failures, from 0.001 to 0.9. The guard fires when failures are about twice as
            frequent, or more: the sooner, the more frequent they are.
        count: Fires at this many failures since the last reset; `"5%"` means of the batch's items.
        name: Its name in the batch: a lower-case letter, then letters, digits, `-` or `_`; up to 32 characters.
        of: Counts `items` that are final, or `attempts`, which notice a service that is down before retries are used
            up.
        stage: Counts only this stage; None: any.
        errors: Only errors of these types are failures; `*` at the end stands for any rest. Empty: all.
        in_flight: Most items of the batch that are released and not final at once; None: as many as the window allows.
        action: `alert`, `pause` or `cancel`.
        severity: Of its alert: `info`, `warning`, `error` or `critical`.

    Raises:
        InvalidInput: A field is invalid, or neither `rate` nor `count` is given.
    """

    rate: float | None = None
    count: int | str | None = None
    name: str = "failures"
    of: str = GuardCounts.ITEMS.value
    stage: str | None = None
    errors: tuple[str, ...] = ()
    in_flight: int | None = None
    action: str = GuardAction.PAUSE.value
    severity: str = "critical"

    def __post_init__(self) -> None:
        _check_name(self.name)
        if self.rate is None and self.count is None:
            raise InvalidInput(f"guard {self.name!r} has neither rate nor count; give it one, such as rate=5%")
        if self.rate is not None:
            object.__setattr__(self, "rate", _checked_rate(self.name, self.rate))
        if self.count is not None:
            object.__setattr__(self, "count", _checked_count(self.name, self.count))
        if self.in_flight is not None:
            object.__setattr__(self, "in_flight", _whole(self.name, "in_flight", self.in_flight, _MOST_IN_FLIGHT))
        for field, kind in (("of", tuple(GuardCounts)), ("action", tuple(GuardAction)), ("severity", _SEVERITIES)):
            object.__setattr__(self, field, _choice(self.name, field, kind, getattr(self, field)))
        if self.stage is not None:
            object.__setattr__(self, "stage", _choice(self.name, "stage", tuple(Stage), self.stage))
        object.__setattr__(self, "errors", _checked_errors(self.name, self.errors))


_FIELDS = tuple(field.name for field in fields(Guard))


def guard_json(guard: Guard) -> dict[str, Any]:
    """Return the fields of a guard as JSON values, those that are None or empty left out; `read_guard` reads them."""
    values = {name: value for name, value in asdict(guard).items() if value not in (None, ())}
    return values | ({"errors": list(guard.errors)} if guard.errors else {})


def is_failure(guard: Guard, error: str) -> bool:
    """Return whether an error of this type counts as a failure."""
    return not guard.errors or any(
        error.startswith(each[:-1]) if each.endswith("*") else error == each for each in guard.errors
    )


def most_failures(guard: Guard, total: int) -> int | None:
    """Return the number of failures at which a guard fires in a batch of so many items; None: at no number."""
    if isinstance(guard.count, str):
        # Rounded up, and never 0: of a small batch the first failure is beyond 5 % already.
        return max(1, math.ceil(total * _share(guard.count)))
    return guard.count


def read_guard(given: Mapping[str, Any]) -> Guard:
    """Return the guard with these fields.

    Raises:
        InvalidInput: a field is unknown or invalid.
    """
    unknown = [name for name in given if name not in _FIELDS]
    if unknown:
        raise InvalidInput(f"a guard has no field {shown(unknown[0])}; its fields are {', '.join(_FIELDS)}")
    values = dict(given)
    if "errors" in values and not isinstance(values["errors"], list | tuple):
        values["errors"] = (values["errors"],)
    return Guard(**values)


def parse_guard(text: str) -> Guard:
    """Return the guard that a text describes, such as `rate=5%,in_flight=32`; several errors are separated by `|`.

    Raises:
        InvalidInput: it cannot be read.
    """
    return read_guard(parse_fields(text.split(",")))


def parse_fields(assignments: Sequence[str]) -> dict[str, Any]:
    """Return the fields that texts such as `rate=5%` assign; an empty value is None.

    Raises:
        InvalidInput: one is no assignment, or a value is not a number where one is needed.
    """
    found: dict[str, Any] = {}
    for each in assignments:
        name, is_assigned, value = (part.strip() for part in each.partition("="))
        if not is_assigned or not name:
            raise InvalidInput(f"{shown(each)} sets no field of a guard; write name=value, such as rate=5%")
        found[name] = _field_value(name, value)
    return found


def changed(guard: Guard, changes: Mapping[str, Any]) -> Guard:
    """Return a guard with other values of some fields; its name stays.

    Raises:
        InvalidInput: a field is unknown or invalid.
    """
    if changes.get("name", guard.name) != guard.name:
        raise InvalidInput(f"guard {guard.name!r} cannot be renamed; remove it, and add another")
    known = {name: getattr(guard, name) for name in _FIELDS}
    defaults = {"errors": (), **{name: getattr(_DEFAULTS, name) for name in ("of", "action", "severity")}}
    given = {name: defaults.get(name) if value is None else value for name, value in changes.items()}
    return read_guard(known | given)


def resets_evidence(before: Guard, after: Guard) -> bool:
    """Return whether what was counted under the settings before says nothing under those after."""
    return any(getattr(before, name) != getattr(after, name) for name in ("rate", "of", "stage", "errors"))


def merged(defined: Sequence[Guard], given: Sequence[Guard]) -> tuple[Guard, ...]:
    """Return the guards of a batch: those of its definition, replaced by those of the submission of the same name.

    Raises:
        InvalidInput: two of a submission have one name, or there are too many.
    """
    names = [each.name for each in given]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InvalidInput(f"two guards are called {twice!r}; give one of them another name")
    found = tuple({each.name: each for each in (*defined, *given)}.values())
    if len(found) > MOST_GUARDS:
        raise InvalidInput(f"a batch has at most {MOST_GUARDS} guards; these are {len(found)}")
    return found


def smallest_in_flight(guards: Sequence[Guard]) -> int | None:
    """Return how many items of a batch with these guards may be in flight; None: none of them limits it."""
    return min((each.in_flight for each in guards if each.in_flight is not None), default=None)


def _field_value(name: str, value: str) -> Any:
    if not value:
        return None
    if name == "rate":
        return _share(value) if value.endswith("%") else _number(name, value, float)
    if name == "in_flight" or (name == "count" and not value.endswith("%")):
        return _number(name, value, int)
    if name == "errors":
        return tuple(part for part in value.split("|") if part)
    return value


def _number(name: str, value: str, kind: type[float] | type[int]) -> float | int:
    try:
        return kind(value)
    except ValueError:
        expected = "a share, such as 5% or 0.05" if kind is float else "a whole number"
        raise InvalidInput(f"{name} of a guard is {shown(value)}; expected {expected}") from None


def _share(value: str) -> float:
    return float(_number("a share", value.removesuffix("%"), float)) / 100


def _check_name(name: object) -> None:
    if not (
        isinstance(name, str)
        and 0 < len(name) <= _LONGEST_NAME
        and name.isascii()
        and name[0].islower()
        and all(character.islower() or character.isdigit() or character in "-_" for character in name)
    ):
        raise InvalidInput(
            f"a guard is called {shown(name)}; expected up to {_LONGEST_NAME} lower-case letters, digits, `-` and `_`, "
            "beginning with a letter"
        )


def _checked_rate(guard: str, rate: object) -> float:
    if isinstance(rate, str) and rate.endswith("%"):
        rate = _share(rate)
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not _SMALLEST_RATE <= rate <= _LARGEST_RATE:
        expected = f"a share from {_SMALLEST_RATE} to {_LARGEST_RATE}, such as 0.05 or 5%"
        raise InvalidInput(f"rate of guard {guard!r} is {shown(rate)}; expected {expected}")
    return float(rate)


def _checked_count(guard: str, count: object) -> int | str:
    if isinstance(count, str) and count.endswith("%"):
        _checked_rate(guard, _share(count))
        return count
    return _whole(guard, "count", count, 2**53)


def _whole(guard: str, field: str, value: object, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise InvalidInput(f"{field} of guard {guard!r} is {shown(value)}; expected a whole number from 1 to {most:,}")
    return value


def _choice(guard: str, field: str, choices: Sequence[str], value: object) -> str:
    found = next((str(each) for each in choices if isinstance(value, str) and each == value), None)
    if found is None:
        raise InvalidInput(f"{field} of guard {guard!r} is {shown(value)}; choose from {', '.join(choices)}")
    return found


def _checked_errors(guard: str, errors: object) -> tuple[str, ...]:
    found = tuple(errors) if isinstance(errors, list | tuple) else ()
    if (
        not isinstance(errors, list | tuple)
        or len(found) > _MOST_ERRORS
        or not all(isinstance(each, str) and 0 < len(each) <= 200 and "*" not in each[:-1] for each in found)
    ):
        expected = f"up to {_MOST_ERRORS} types of errors, with * only at the end"
        raise InvalidInput(f"errors of guard {guard!r} is {shown(errors)}; expected {expected}")
    return found


_DEFAULTS = Guard(rate=0.5)
