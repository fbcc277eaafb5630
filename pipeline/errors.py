"""Errors that the library raises, each with a stable `code`.

PipelineError                   pipeline_error              exit code 2
├── InvalidInput                invalid_input               an argument cannot be used
│   ├── InvalidSettings         invalid_settings            a PIPELINE_* variable or an override of one
│   ├── InvalidDefinition       invalid_definition          a definition file or object
│   ├── InvalidItems            invalid_items               one or more items of a submission
│   │   └── NoItems                 no_items                a submission without items
│   ├── SourceChanged           source_changed              the input was changed while it was read
│   ├── InvalidArgument         invalid_argument            an argument, called by its name
│   │   ├── InvalidCallbackUrl      invalid_callback_url    a URL that cannot be called back
│   │   └── ForbiddenCallbackUrl    forbidden_callback_url  a URL that callbacks may not reach
│   ├── EndpointOwned           endpoint_owned              a URL at an endpoint that another tenant configured
│   ├── InvalidHeader           invalid_header              a header of an endpoint
│   ├── InvalidSecret           invalid_secret              a webhook secret
│   ├── InvalidEncryptionKey    invalid_encryption_key      PIPELINE_ENCRYPTION_KEY
│   ├── InvalidWebhook          invalid_webhook             a received request that does not verify
│   └── NotFound                not_found                   no such batch, item, delivery, endpoint or definition
├── Conflict                    conflict                    the request contradicts what is stored or running
│   ├── IdempotencyMismatch     idempotency_key_reused      the key belongs to another submission
│   ├── SubmissionInProgress    idempotency_in_progress     the same submission is under way
│   ├── BacklogFull             backlog_full                too many items wait already
│   ├── TargetConflict          target_conflict             an export's target holds something else, or refuses a row
│   ├── ClientClosed            client_closed               the client was closed
│   └── ProcessForked           process_forked              the process was forked during the call
├── AccessDenied                access_denied               a server refused the API key
│   ├── BadKey                  bad_key                     it is mistyped or unknown
│   ├── ExpiredKey              expired_key                 it has expired
│   ├── RevokedKey              revoked_key                 it was revoked
│   └── BadToken                bad_token                   a stream token is unknown or has expired
├── CannotDecrypt               cannot_decrypt              stored secrets, without their key
├── SourceUnavailable           source_unavailable          the input cannot be read to its end  exit code 3
├── Unreachable                 unreachable                 database or broker is down           exit code 3
│   ├── DatabaseFull            database_full               the disk of the database is full     exit code 3
│   └── OutcomeUnknown          outcome_unknown             the connection was lost at a commit  exit code 3
├── TargetUnavailable           target_unavailable          an export's target is down or full   exit code 3
├── WrongSchema                 wrong_schema                database of another version          exit code 3
└── WaitTimeout                 wait_timeout                also a TimeoutError                  exit code 1

StageError                      stage_error                 raised by a classifier or an enricher
├── Transient                   transient                   may succeed later: retried with backoff
├── Throttled                   throttled                   asked to wait: retried without using up an attempt
└── Permanent                   permanent                   will never work: the item is dead at once
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Self

if TYPE_CHECKING:
    from pipeline.domain.batch import Progress
    from pipeline.domain.payload import Rejection


class PipelineError(Exception):
    """An error that the user can act on. The message says what happened and what to do.

    Attributes:
        code: Stable name of the kind of error, for programs to compare.
        exit_code: Exit code of a command that fails with this error.
    """

    code: ClassVar[str] = "pipeline_error"
    exit_code: ClassVar[int] = 2


class InvalidInput(PipelineError):
    """The input cannot be accepted."""

    code = "invalid_input"


class InvalidSettings(InvalidInput):
    """A setting is unknown or has an invalid value."""

    code = "invalid_settings"


class InvalidDefinition(InvalidInput):
    """A definition is invalid. The message names the file, the field and the expected value."""

    code = "invalid_definition"


class InvalidItems(InvalidInput):
    """Items of a submission were rejected. Nothing was stored.

    Attributes:
        rejections: The rejected items in input order; at most the first 1,000.
        count: The number of items that were rejected.
    """

    code = "invalid_items"

    def __init__(self, message: str, rejections: tuple[Rejection, ...] = (), count: int | None = None) -> None:
        super().__init__(message)
        self.rejections = rejections
        self.count: int = len(rejections) if count is None else count


class NoItems(InvalidItems):
    """A submission has no items."""

    code = "no_items"


class EndpointOwned(InvalidInput):
    """A callback URL is at an endpoint whose secrets or headers another tenant configured."""

    code = "endpoint_owned"


class SourceChanged(InvalidInput):
    """The input was changed or replaced since reading began, so that going on would mix two versions of it."""

    code = "source_changed"


class InvalidArgument(InvalidInput):
    """The value of a named argument is invalid. The message uses the name that the caller knows.

    Args:
        template: The message, with `{0}`, `{1}`, … in place of argument names; pass other text through
            `escape_braces`.
        names: The argument names as the Python API spells them.
    """

    code = "invalid_argument"

    def __init__(self, template: str, *names: str) -> None:
        super().__init__(template.format(*names))
        self._template, self._names = template, names

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the arguments, the invalid one first."""
        return self._names

    def with_names(self, names: Mapping[str, str]) -> Self:
        """Return the same error with other argument names, such as `--callback-url` for `callback_url`."""
        return type(self)(self._template, *(names.get(name, name) for name in self._names))


def escape_braces(text: str) -> str:
    """Return `text` with braces doubled, so that an `InvalidArgument` template prints it unchanged."""
    return text.replace("{", "{{").replace("}", "}}")


class NotFound(InvalidInput):
    """There is no batch, item, delivery, endpoint or definition of that name."""

    code = "not_found"


class Conflict(PipelineError):
    """The request contradicts what is stored or running."""

    code = "conflict"


class IdempotencyMismatch(Conflict):
    """The idempotency key belongs to a batch that was submitted with other options or other items.

    Attributes:
        key: The idempotency key.
        batch_id: The batch that it belongs to.
        fields: What differs: names of options, `items`, or `body` for a body of the HTTP API.
    """

    code = "idempotency_key_reused"

    def __init__(self, message: str, key: str, batch_id: str, fields: tuple[str, ...]) -> None:
        super().__init__(message)
        self.key: str = key
        self.batch_id: str = batch_id
        self.fields: tuple[str, ...] = fields

    def __reduce__(self) -> tuple[type[Self], tuple[str, str, str, tuple[str, ...]]]:
        return type(self), (str(self), self.key, self.batch_id, self.fields)


class SubmissionInProgress(Conflict):
    """A batch with the same idempotency key is being submitted right now. Try again."""

    code = "idempotency_in_progress"


class BacklogFull(Conflict):
    """More items wait than PIPELINE_MAX_PENDING_ITEMS allows. Try again when some are done."""

    code = "backlog_full"


class ClientClosed(Conflict):
    """The client was closed, before the call or during it. What is stored can be found by another client."""

    code = "client_closed"


class ProcessForked(Conflict):
    """The process was forked during the call, or inside a transaction. The parent goes on; the child cannot."""

    code = "process_forked"


class AccessDenied(PipelineError):
    """A server refused the API key, or the key may not do this."""

    code = "access_denied"


class SourceUnavailable(PipelineError):
    """The input cannot be read to its end for now: the connection was lost, or the credentials have expired."""

    code = "source_unavailable"
    exit_code = 3


class Unreachable(PipelineError):
    """A required service does not respond."""

    code = "unreachable"
    exit_code = 3


class DatabaseFull(Unreachable):
    """The disk of the database is full: it can be read, but not written."""

    code = "database_full"


class OutcomeUnknown(Unreachable):
    """The connection to the database was lost during a commit: the batch may have been accepted or not.

    Attributes:
        batch_id: The batch, which exists if it was accepted.
    """

    code = "outcome_unknown"

    def __init__(self, message: str, batch_id: str) -> None:
        super().__init__(message)
        self.batch_id: str = batch_id

    def __reduce__(self) -> tuple[type[Self], tuple[str, str]]:
        return type(self), (str(self), self.batch_id)


class TargetUnavailable(PipelineError):
    """What an export writes to does not answer, refuses the credentials, or is full. Attempts go on by a schedule."""

    code = "target_unavailable"
    exit_code = 3


class TargetConflict(Conflict):
    """What an export writes to holds something else under that name, or refuses a row. A person has to decide."""

    code = "target_conflict"


class WrongSchema(PipelineError):
    """The database schema belongs to a different version of pipeline."""

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
    """Base class of the errors with which a classifier or enricher says how to handle its failure.

    Attributes:
        code: Stable name of the kind of error.
        answer: The beginning of what another service answered, without secrets: kept with the failed attempt for the
            person who looks into it, and not sent in callbacks. At most 4 KiB are kept.
        status: The HTTP status that another service answered. If most of the latest calls of an enricher get 401, 403
            or 5xx, its items wait instead of failing.
    """

    code: ClassVar[str] = "stage_error"
    answer: str | None = None
    status: int | None = None


class Transient(StageError):
    """The failure may be temporary: the item is retried with exponential backoff, up to `max_attempts`."""

    code = "transient"


class Throttled(StageError):
    """Another service asked to wait: the item is retried without using up an attempt.

    Args:
        message: The text to record.
        retry_after: Minimum delay in seconds; None applies the definition's backoff.
    """

    code = "throttled"

    def __init__(self, message: str = "throttled", *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Permanent(StageError):
    """The failure is permanent: the item is dead at once, with this message."""

    code = "permanent"
