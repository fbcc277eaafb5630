"""The answers of a list call, one for each item."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.stages.run.failure import WrongLength


def spread(answer: Any, count: int) -> list[Any] | BaseException:
    """Return the `count` answers in `answer`, or why it has none to give: what was raised, or `WrongLength`."""
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
    # An array of numpy is none by its class, yet what most models return; one without dimensions has no length.
    return isinstance(answer, Sequence) or bool(getattr(answer, "shape", ()))
