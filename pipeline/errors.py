"""Errors that the library raises.

PipelineError
├── InvalidInput            the input cannot be accepted                exit code 2
│   ├── InvalidSettings     a PIPELINE_* variable
│   ├── InvalidDefinition   a definition file or object
│   ├── InvalidItems        one or more items of a submission
│   ├── InvalidArgument     the value of a named argument
│   └── NotFound            no such batch, item, delivery or definition
├── Conflict                the request contradicts what is stored      exit code 2
├── Unreachable             the database or broker does not respond     exit code 3
└── WrongSchema             the database has a different version        exit code 3

StageError                  raised by a classifier or an enricher
├── Transient               may work later: retried with backoff
├── Throttled               the other side asked to wait: retried without using up an attempt
└── Permanent               will never work: the item is dead at once
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self


class PipelineError(Exception):
    """An error that the user can act on. The message says what happened and what to do."""

    exit_code = 2


class InvalidInput(PipelineError):
    """The input cannot be accepted."""


class InvalidSettings(InvalidInput):
    """A setting is unknown or has an invalid value."""


class InvalidDefinition(InvalidInput):
    """A definition is invalid. The message names the file, the field and the expected value."""


class InvalidItems(InvalidInput):
    """Items of a submission were rejected.

    Attributes:
        rejections: one `Rejection` per rejected item, in input order; at most the first 1,000.
    """

    def __init__(self, message: str, rejections: tuple[object, ...] = ()) -> None:
        super().__init__(message)
        self.rejections = rejections


class InvalidArgument(InvalidInput):
    """The value of a named argument is invalid. The message uses the name that the caller knows.

    Args:
        template: the message, with `{0}`, `{1}`, … in place of argument names; pass other text through
            `escape_braces`.
        names: the argument names as the Python API spells them.
    """

    def __init__(self, template: str, *names: str) -> None:
        super().__init__(template.format(*names))
        self._template, self._names = template, names

    def with_names(self, names: Mapping[str, str]) -> Self:
        """Return the same error with other argument names, such as `--callback-url` for `callback_url`."""
        return type(self)(self._template, *(names.get(name, name) for name in self._names))


def escape_braces(text: str) -> str:
    """Return `text` with braces doubled, so that an `InvalidArgument` template prints it unchanged."""
    return text.replace("{", "{{").replace("}", "}}")


class NotFound(InvalidInput):
    """There is no batch, item, delivery or definition of that name."""


class Conflict(PipelineError):
    """The request contradicts what is stored."""


class Unreachable(PipelineError):
    """A required service does not respond."""

    exit_code = 3


class WrongSchema(PipelineError):
    """The database schema belongs to a different version of pipeline."""

    exit_code = 3


class StageError(Exception):
    """Base class of the errors with which a classifier or enricher says how to handle its failure."""


class Transient(StageError):
    """The failure may be temporary: the item is retried with exponential backoff, up to `max_attempts`."""


class Throttled(StageError):
    """The other side asked to wait: the item is retried without using up an attempt.

    Args:
        message: the text to record.
        retry_after: minimum delay in seconds; None applies the definition's backoff.
    """

    def __init__(self, message: str = "throttled", *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Permanent(StageError):
    """The failure is permanent: the item is dead at once, with this message."""
