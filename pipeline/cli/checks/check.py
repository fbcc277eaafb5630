"""One line of `pipeline doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class CheckStatus(StrEnum):
    """How a check came out."""

    #: As it should be.
    OK = "ok"
    #: Works, but somebody should know.
    WARN = "warn"
    #: Something will not work.
    FAIL = "fail"
    #: A service does not answer.
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, how it is, and, unless it is ok, what to do."""

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
