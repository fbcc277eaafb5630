"""Every error a caller can meet.

PipelineError
├── InvalidInput            what was given cannot be accepted           exit code 2
│   ├── InvalidSettings     a PIPELINE_* variable
│   ├── InvalidDefinition   a definition file or object
│   ├── InvalidItems        one or more items of a submission
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
