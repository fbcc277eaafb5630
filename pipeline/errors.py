"""Every error that you can meet, with its stable `code`.

PipelineError                   pipeline_error              exit code 2
├── InvalidInput                invalid_input               an argument cannot be used
│   ├── InvalidSettings         invalid_settings            a PIPELINE_* variable or an override of one
│   ├── InvalidDefinition       invalid_definition          a definition file or object
│   ├── InvalidItems            invalid_items               one or more items of a submission
│   ├── InvalidArgument         invalid_argument            an argument, called by its name
│   │   ├── InvalidCallbackUrl      invalid_callback_url    a URL that cannot be called back
│   │   └── ForbiddenCallbackUrl    forbidden_callback_url  a URL that callbacks may not reach
│   ├── InvalidHeader           invalid_header              a header of an endpoint
│   ├── InvalidSecret           invalid_secret              a webhook secret
│   ├── InvalidEncryptionKey    invalid_encryption_key      PIPELINE_ENCRYPTION_KEY
│   ├── InvalidWebhook          invalid_webhook             a received request that does not verify
│   └── NotFound                not_found                   no such batch, item, delivery, endpoint or definition
├── Conflict                    conflict                    the request contradicts what is stored or running
├── CannotDecrypt               cannot_decrypt              stored secrets, without their key
├── Unreachable                 unreachable                 database or broker is down           exit code 3
├── WrongSchema                 wrong_schema                database of another version          exit code 3
└── WaitTimeout                 wait_timeout                also a TimeoutError                  exit code 1

StageError                      stage_error                 raised by a classifier or an enricher
├── Transient                   transient                   may work later: retried with backoff
├── Throttled                   throttled                   asked to wait: retried, no attempt counted
└── Permanent                   permanent                   will never work: the item is dead at once
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Self

if TYPE_CHECKING:
    from pipeline.domain.batch import Progress
    from pipeline.domain.payload import Rejection


class PipelineError(Exception):
    """Base of all errors that a caller can act on. The message says what happened and what to do.

    Attributes:
        code: Stable name of the kind of error, for programs to compare.
        exit_code: What a command ends with that fails with this error.
    """

    code: ClassVar[str] = "pipeline_error"
    exit_code: ClassVar[int] = 2


class InvalidInput(PipelineError):
    """An argument cannot be used."""

    code = "invalid_input"


class InvalidSettings(InvalidInput):
    """A setting has a value that cannot be used, or there is no such setting."""

    code = "invalid_settings"


class InvalidDefinition(InvalidInput):
    """A definition cannot be used. The message names the file, the field and what was expected."""

    code = "invalid_definition"


class InvalidItems(InvalidInput):
    """Items of a submission were refused. Nothing was stored.

    Attributes:
        rejections: The refused items in input order, the first 1,000 at most.
    """

    code = "invalid_items"

    def __init__(self, message: str, rejections: tuple[Rejection, ...] = ()) -> None:
        super().__init__(message)
        self.rejections = rejections


class InvalidArgument(InvalidInput):
    """An argument cannot be used. The message calls it by the name that the caller knows.

    Args:
        text: The message, with `{0}`, `{1}`, … in place of names; `as_it_is` escapes everything else.
        names: The names as Python has them.
    """

    code = "invalid_argument"

    def __init__(self, text: str, *names: str) -> None:
        super().__init__(text.format(*names))
        self._text, self._names = text, names

    def called(self, names: Mapping[str, str]) -> Self:
        """Return the same error for a caller who knows other names, such as `--callback-url`."""
        return type(self)(self._text, *(names.get(each, each) for each in self._names))


def as_it_is(text: str) -> str:
    """Return `text` escaped, so that a message of `InvalidArgument` shows it unchanged."""
    return text.replace("{", "{{").replace("}", "}}")


class NotFound(InvalidInput):
    """There is no batch, item, delivery, endpoint or definition of that name."""

    code = "not_found"


class Conflict(PipelineError):
    """The request contradicts what is stored or running."""

    code = "conflict"


class Unreachable(PipelineError):
    """A service that is needed does not answer."""

    code = "unreachable"
    exit_code = 3


class WrongSchema(PipelineError):
    """The database was made by another version of pipeline."""

    code = "wrong_schema"
    exit_code = 3


class WaitTimeout(PipelineError, TimeoutError):
    """A batch was not complete in time. Work on it goes on.

    Attributes:
        progress: How far the batch was when the time was up.
    """

    code = "wait_timeout"
    exit_code = 1

    def __init__(self, message: str, progress: Progress) -> None:
        super().__init__(message)
        self.progress = progress

    def __reduce__(self) -> tuple[type[Self], tuple[str, Progress]]:
        return type(self), (str(self), self.progress)


class StageError(Exception):
    """Base of the errors by which a classifier or an enricher says how to treat its failure.

    Attributes:
        code: Stable name of the kind of error.
    """

    code: ClassVar[str] = "stage_error"


class Transient(StageError):
    """The failure may pass: the item is retried with exponential backoff, up to `max_attempts`."""

    code = "transient"


class Throttled(StageError):
    """Another service asked to wait: the item is retried, and no attempt is counted.

    Args:
        message: What to record.
        retry_after: Least number of seconds to wait; None: the definition's backoff.
    """

    code = "throttled"

    def __init__(self, message: str = "throttled", *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Permanent(StageError):
    """The failure will not pass: the item is dead at once, with this message."""

    code = "permanent"
