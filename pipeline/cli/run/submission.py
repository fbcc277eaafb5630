"""What `run` and `submit` are asked to take in, and taking it in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeVar

import click

from pipeline.batches.submit import OnProgress, Submission, Submitted, submit
from pipeline.cli import options
from pipeline.cli.definition_choice import choose
from pipeline.cli.run.stop_signals import Stop
from pipeline.cli.show.output import Talk, many
from pipeline.cli.show.table import console
from pipeline.context import Context
from pipeline.domain.payload import Rejection
from pipeline.domain.retry_schedule import SCHEDULES
from pipeline.errors import InvalidArgument, InvalidItems
from pipeline.files import RejectsFile
from pipeline.sources import read_items

F = TypeVar("F", bound=Callable[..., Any])

#: Refused items named on the terminal; all of them are in the rejects file.
_SHOWN = 10

#: How people name what Python names otherwise.
_CALLED = {name: f"--{name.replace('_', '-')}" for name in ("callback_url", "batch_callback_url", "fallback_url")}

_OPTIONS = (
    options.definition,
    options.input_format,
    options.encoding,
    click.option("--key", metavar="FIELD", help="Field with your own id of each item; default: the definition's."),
    click.option("--callback-url", metavar="URL", help="Receives every item's event, signed, the moment it happens."),
    click.option("--callback-url-field", metavar="FIELD", help="Field with an item's own callback URL."),
    click.option("--batch-callback-url", metavar="URL", help="Receives one event when the batch is complete."),
    click.option("--fallback-url", metavar="URL", help="Receives one event for each callback that is given up."),
    click.option(
        "--callback-schedule",
        type=click.Choice(list(SCHEDULES)),
        help="How callbacks are tried again: standard, for four days, or short, for a quarter of an hour.",
    ),
    click.option(
        "--idempotency-key", metavar="KEY", help="The same key again finds the same batch: nothing runs twice."
    ),
    click.option(
        "--on-error",
        type=click.Choice(["fail", "skip"]),
        default="fail",
        show_default=True,
        help="When items cannot be accepted: accept none, or the others.",
    ),
    click.option("--rejects", metavar="FILE", help="Write refused items and why to FILE, as JSON Lines, whole."),
    click.option("--weight", type=click.IntRange(1), default=1, show_default=True, help="Share beside other batches."),
    click.option("--fair-key", default="", metavar="NAME", help="Batches of one NAME share what one batch gets."),
)


def request_options(command: F) -> F:
    """Give a command the options that a `Request` is made of."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class Request:
    """A source of items and what to do with them; the fields are the options."""

    source: str
    definition: str | None
    input_format: str | None
    encoding: str | None
    key: str | None
    callback_url: str | None
    callback_url_field: str | None
    batch_callback_url: str | None
    fallback_url: str | None
    callback_schedule: str | None
    idempotency_key: str | None
    on_error: str
    rejects: str | None
    weight: int
    fair_key: str

    def submission(self, context: Context) -> Submission:
        """Return what the service is asked.

        Raises:
            click.UsageError: one option says nothing without another.
        """
        if self.fallback_url and not (self.callback_url or self.callback_url_field or self.batch_callback_url):
            raise click.UsageError(
                "--fallback-url says nothing without a callback that can fail: give --callback-url, "
                "--callback-url-field or --batch-callback-url"
            )
        return Submission(
            definition=choose(self.definition, context.settings.definitions),
            callback_url=self.callback_url,
            batch_callback_url=self.batch_callback_url,
            fallback_url=self.fallback_url,
            callback_schedule=self.callback_schedule,
            idempotency_key=self.idempotency_key,
            fair_key=self.fair_key,
            weight=self.weight,
            key_field=self.key,
            callback_url_field=self.callback_url_field,
        )


@dataclass(frozen=True, slots=True)
class Stored:
    """A batch that was taken in, and how many items were refused."""

    submitted: Submitted
    rejected: int


def store(context: Context, request: Request, talk: Talk, stop: Stop) -> Stored:
    """Read the source and store its items as a batch; memory stays flat.

    Raises:
        InvalidItems: items were refused and `--on-error fail` holds, or there is none.
        Stopped: nothing is stored.
    """
    records = read_items(request.source, format=request.input_format, encoding=request.encoding)
    submission = request.submission(context)
    with _refusals(request, talk) as refusals, _counting(talk) as count:
        try:
            submitted = submit(
                context,
                stop.reading(records),
                submission,
                on_reject=refusals.add,
                on_progress=count,
                all_or_none=refusals.all_or_none,
            )
        except InvalidItems as error:
            raise _explained(error, request) from None
        except InvalidArgument as error:
            raise error.with_names(_CALLED) from None
    if submitted.without_url:
        talk.warn(f"{many(submitted.without_url, 'item')} without a callback URL in {request.callback_url_field!r}")
    if not submitted.is_new:
        talk.say(f"idempotency key {request.idempotency_key!r} is known: going on with batch {submitted.batch_id}")
    return Stored(submitted, refusals.count)


@dataclass(slots=True)
class _Refusals:
    talk: Talk
    file: RejectsFile | None
    all_or_none: bool
    count: int = field(default=0)

    def add(self, rejection: Rejection) -> None:
        self.count += 1
        if self.file is not None:
            self.file.write(rejection)
        # Where none is accepted, the error names them.
        if self.count <= _SHOWN and not self.all_or_none:
            self.talk.say(f"skipped line {rejection.line}: {rejection.reason}")


@contextmanager
def _refusals(request: Request, talk: Talk) -> Iterator[_Refusals]:
    file: AbstractContextManager[RejectsFile | None] = (
        RejectsFile(request.rejects) if request.rejects else nullcontext()
    )
    with file as opened:
        refusals = _Refusals(talk, opened, all_or_none=request.on_error == "fail")
        yield refusals
        if refusals.count:
            where = f"; see {request.rejects}" if request.rejects else "; --rejects FILE keeps them"
            talk.warn(f"{many(refusals.count, 'item')} skipped{where}")


@contextmanager
def _counting(talk: Talk) -> Iterator[OnProgress]:
    shown = console(err=True)
    if talk.is_quiet or not shown.is_terminal:
        yield lambda count: None
        return
    with shown.status("reading", spinner="line") as status:
        yield lambda count: status.update(f"reading, {count:,} items stored")


def _explained(error: InvalidItems, request: Request) -> InvalidItems:
    if request.on_error == "skip" or not error.rejections:
        return error
    kept = f"; the refused ones are in {request.rejects}" if request.rejects else ""
    return InvalidItems(f"{error}\n--on-error skip accepts the others{kept}", error.rejections)
