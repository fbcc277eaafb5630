"""What can be configured for one endpoint, checked one by one and together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pipeline.domain.did_you_mean import hint
from pipeline.domain.retry_schedule import check_schedule
from pipeline.errors import InvalidArgument, InvalidInput, as_it_is

#: Requests a second beyond which a limit limits nothing.
LARGEST_RATE = 100_000.0
#: A sender has no more places than a few hundred.
LARGEST_IN_FLIGHT = 1_000
#: Items that travel in one request, and how long they wait for company.
LARGEST_BUNDLE, LONGEST_WAIT_MS = 500, 60_000
#: Seconds that one delivery may hold up those behind it: longer than any delay of a schedule.
LONGEST_BLOCK = 345_600.0

ORDERINGS = ("endpoint", "batch")

#: What a setting says nothing without.
_NEEDS = {"burst": "rate", "max_block_seconds": "ordering", "coalesce_ms": "coalesce_items"}


def check_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as they are stored. None means: the default again.

    Raises:
        InvalidInput: there is no setting of a name, or its value cannot be used.
    """
    return {name: _checked(name, value) for name, value in given.items()}


def check_together(settings: Mapping[str, Any]) -> None:
    """Check all settings of an endpoint, as they stand after a change.

    Raises:
        InvalidInput: one of them says nothing without another.
    """
    for name, needed in _NEEDS.items():
        if settings[name] is not None and settings[needed] is None:
            raise InvalidArgument("{0} says nothing without {1}; set {1} as well, or leave {0} out", name, needed)


def _checked(name: str, value: Any) -> Any:
    check = _CHECKS.get(name)
    if check is None:
        known = ", ".join(_CHECKS)
        raise InvalidInput(f"an endpoint has no setting {name!r}; it has {known}{hint(name, _CHECKS)}")
    return None if value is None else check(name, value)


def _unfit(name: str, value: Any, expected: str) -> InvalidArgument:
    return InvalidArgument(f"{{0}} is {as_it_is(repr(value))}; expected {expected}", name)


def _number(least: float, most: float) -> Callable[[str, Any], float]:
    def check(name: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise _unfit(name, value, f"a number from {least:g} to {most:g}")
        return float(value)

    return check


def _whole(least: int, most: int) -> Callable[[str, Any], int]:
    def check(name: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise _unfit(name, value, f"a whole number from {least} to {most}")
        return value

    return check


def _ordering(name: str, value: Any) -> str:
    if value not in ORDERINGS:
        raise _unfit(name, value, " or ".join(ORDERINGS))
    return str(value)


def _schedule(_name: str, value: Any) -> str:
    return check_schedule(str(value))


_CHECKS: Mapping[str, Callable[[str, Any], Any]] = {
    "schedule": _schedule,
    "rate": _number(0.001, LARGEST_RATE),
    "burst": _whole(1, int(LARGEST_RATE)),
    "in_flight_cap": _whole(1, LARGEST_IN_FLIGHT),
    "ordering": _ordering,
    "max_block_seconds": _number(0, LONGEST_BLOCK),
    "coalesce_items": _whole(1, LARGEST_BUNDLE),
    "coalesce_ms": _whole(0, LONGEST_WAIT_MS),
}

#: Names of all settings.
SETTINGS = tuple(_CHECKS)
