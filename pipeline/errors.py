"""Every error a caller can meet.

PipelineError
├── InvalidInput            what was given cannot be accepted           exit code 2
│   ├── InvalidSettings     a PIPELINE_* variable
│   ├── InvalidDefinition   a definition file or object
│   ├── InvalidItems        one or more items of a submission
│   ├── InvalidArgument     a value given under a name
│   └── NotFound            no such batch, item, delivery or definition
├── Conflict                the request contradicts what is stored      exit code 2
├── Unreachable             database or broker does not answer          exit code 3
└── WrongSchema             the database is of another version          exit code 3

StageError                  raised by a classifier or an enricher
├── Transient               may work later: retried with backoff
├── Throttled               the other side asked to wait: retried, no attempt counted
└── Permanent               will never work: the item is dead at once
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self


class PipelineError(Exception):
    """Something a person can act on; the message says what happened and what to do."""

    exit_code = 2


class InvalidInput(PipelineError):
    """What was given cannot be accepted."""


class InvalidSettings(InvalidInput):
    """A setting has a value that cannot be used."""


class InvalidDefinition(InvalidInput):
    """A definition cannot be used; the message names the file, the field and what was expected."""


class InvalidItems(InvalidInput):
    """Items of a submission were refused.

    Attributes:
        rejections: one `Rejection` per refused item, in input order (at most the first 1,000).
    """

    def __init__(self, message: str, rejections: tuple[object, ...] = ()) -> None:
        super().__init__(message)
        self.rejections = rejections


class InvalidArgument(InvalidInput):
    """What was given under a name cannot be used; the message calls it as the caller does.

    Args:
        text: the message, with `{0}`, `{1}`, … where names stand; see `as_it_is` for the rest.
        names: as Python has them.
    """

    def __init__(self, text: str, *names: str) -> None:
        super().__init__(text.format(*names))
        self._text, self._names = text, names

    def called(self, names: Mapping[str, str]) -> Self:
        """Return the same error for a caller who knows other names, such as `--callback-url`."""
        return type(self)(self._text, *(names.get(each, each) for each in self._names))


def as_it_is(text: str) -> str:
    """Return what a message of `InvalidArgument` says as it is, whatever is in it."""
    return text.replace("{", "{{").replace("}", "}}")


class NotFound(InvalidInput):
    """No batch, item, delivery or definition of that name."""


class Conflict(PipelineError):
    """The request contradicts what is stored."""


class Unreachable(PipelineError):
    """A service that is needed does not answer."""

    exit_code = 3


class WrongSchema(PipelineError):
    """The database was made by another version of pipeline."""

    exit_code = 3


class StageError(Exception):
    """Base of what a classifier or an enricher raises to say how its failure is to be treated."""


class Transient(StageError):
    """The failure may pass: the item is retried with exponential backoff, up to `max_attempts`."""


class Throttled(StageError):
    """The other side asked to wait. The item is retried and no attempt is counted.

    Args:
        message: what to record.
        retry_after: seconds to wait at least; without it the definition's backoff applies.
    """

    def __init__(self, message: str = "throttled", *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Permanent(StageError):
    """The failure will not pass: the item is dead at once, with this message."""
