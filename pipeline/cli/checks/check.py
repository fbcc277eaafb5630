"""One check of `pipeline doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class CheckStatus(StrEnum):
    """The outcome of a check."""

    #: No problem.
    OK = "ok"
    #: Works, but may be a problem.
    WARN = "warn"
    #: Something does not work.
    FAIL = "fail"
    #: A service does not respond.
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class Check:
    """The outcome of a check.

    Attributes:
        name: what was checked.
        verdict: the outcome.
        value: what was found.
        advice: how to fix it; empty if there is no problem.
    """

    name: str
    verdict: CheckStatus
    value: str
    advice: str = ""


def ok(name: str, value: object) -> Check:
    return Check(name, CheckStatus.OK, str(value))


def warn(name: str, value: object, advice: str) -> Check:
    return Check(name, CheckStatus.WARN, str(value), advice)


def fail(name: str, value: object, advice: str) -> Check:
    return Check(name, CheckStatus.FAIL, str(value), advice)


def unreachable(name: str, value: object, advice: str) -> Check:
    return Check(name, CheckStatus.UNREACHABLE, str(value), advice)
