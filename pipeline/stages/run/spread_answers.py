"""Splits the answer of a list call into one answer per item."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.stages.run.failure import WrongLength


def spread_answers(answer: Any, count: int) -> list[Any] | BaseException:
    """Return the `count` answers in `answer`; if there are not that many, the exception raised or a `WrongLength`."""
    if isinstance(answer, BaseException):
        return answer
    try:
        answers: list[Any] | None = list(answer) if _is_sequence(answer) else None
    except Exception as error:
        return error
    if answers is None:
        return WrongLength(f"must return a list of {count} answers, returned {type(answer).__name__}")
    if len(answers) != count:
        return WrongLength(f"must return {count} answers in the order of the items, returned {len(answers)}")
    return answers


def _is_sequence(answer: object) -> bool:
    if isinstance(answer, str | bytes | bytearray):
        return False
    # Most models return numpy arrays, which are not a `Sequence`; one without dimensions has no length.
    return isinstance(answer, Sequence) or bool(getattr(answer, "shape", ()))
