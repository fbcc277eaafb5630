"""Settings of an endpoint, validated one by one and together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pipeline.domain.bounds import invalid
from pipeline.domain.did_you_mean import hint
from pipeline.domain.retry_schedule import check_schedule
from pipeline.errors import InvalidArgument, InvalidInput

#: Requests per second; a higher limit has no effect.
MAX_RATE = 100_000.0
#: Requests in flight; a sender has a few hundred slots.
MAX_IN_FLIGHT = 1_000
#: Items in one request, and milliseconds that an item waits for others.
MAX_BUNDLE_ITEMS, MAX_WAIT_MS = 500, 60_000
#: Seconds that a delivery may block those behind it: longer than any delay of a schedule.
MAX_BLOCK_SECONDS = 345_600.0

ORDERINGS = ("endpoint", "batch")

#: Settings that have no effect without another one.
_NEEDS = {"burst": "rate", "max_block_seconds": "ordering", "coalesce_ms": "coalesce_items"}


def check_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Validate settings and return them as they are stored. None restores the default.

    Raises:
        InvalidInput: a setting does not exist, or its value is invalid.
    """
    return {name: _checked(name, value) for name, value in given.items()}


def check_together(settings: Mapping[str, Any]) -> None:
    """Validate all settings of an endpoint, as they are after a change.

    Raises:
        InvalidInput: a setting has no effect without another one.
    """
    for name, needed in _NEEDS.items():
        if settings[name] is not None and settings[needed] is None:
            raise InvalidArgument("{0} has no effect without {1}; set {1} as well, or leave {0} out", name, needed)


def _checked(name: str, value: Any) -> Any:
    check = _CHECKS.get(name)
    if check is None:
        known = ", ".join(_CHECKS)
        raise InvalidInput(f"an endpoint has no setting {name!r}; its settings are {known}{hint(name, _CHECKS)}")
    return None if value is None else check(name, value)


def _unfit(name: str, value: Any, expected: str) -> InvalidArgument:
    return invalid(name, value, expected)


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
    if not isinstance(value, str) or value not in ORDERINGS:
        raise _unfit(name, value, " or ".join(ORDERINGS))
    return str(value)


def _schedule(_name: str, value: Any) -> str:
    return check_schedule(value)


_CHECKS: Mapping[str, Callable[[str, Any], Any]] = {
    "schedule": _schedule,
    "rate": _number(0.001, MAX_RATE),
    "burst": _whole(1, int(MAX_RATE)),
    "in_flight_cap": _whole(1, MAX_IN_FLIGHT),
    "ordering": _ordering,
    "max_block_seconds": _number(0, MAX_BLOCK_SECONDS),
    "coalesce_items": _whole(1, MAX_BUNDLE_ITEMS),
    "coalesce_ms": _whole(0, MAX_WAIT_MS),
}

#: Names of all settings.
SETTINGS = tuple(_CHECKS)
