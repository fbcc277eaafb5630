"""Submission of a batch: the options of `run` and `submit`, and storing the items."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import click

from pipeline.batches.named_definitions import find_local
from pipeline.batches.read_input import open_input
from pipeline.batches.streamed.resume import SourceItems
from pipeline.batches.submission import Submission, Submitted
from pipeline.batches.submit import submit
from pipeline.cli import options
from pipeline.cli.argument_types import FAIR_KEY, FIELD, IDEMPOTENCY_KEY, OUTPUT_PATH, whole_number
from pipeline.cli.definition_choice import choose_definition
from pipeline.cli.mapping_options import map_input, mapping_options
from pipeline.cli.reading_options import reading_options, take_reading
from pipeline.cli.run.rejections import Rejections, open_rejections
from pipeline.cli.run.stop_signals import Stopped, StopSignals
from pipeline.cli.show.output import Messages, pluralize
from pipeline.cli.show.read_progress import read_progress
from pipeline.context import Context
from pipeline.domain import bounds
from pipeline.domain.alerts.guard import parse_guard
from pipeline.domain.retry_schedule import SCHEDULES
from pipeline.errors import InvalidArgument, InvalidItems, PipelineError, Unreachable
from pipeline.sources import ReadOptions, ReadReport
from pipeline.telemetry.caller_span import read_traceparent

F = TypeVar("F", bound=Callable[..., Any])

#: The options by the names of the arguments in the Python API.
_OPTION_NAMES = {
    name: f"--{name.replace('_', '-')}" for name in ("callback_url", "batch_callback_url", "fallback_url")
} | {"exports": "--export"}

_OPTIONS = (
    options.definition,
    click.option(
        "--key",
        type=FIELD,
        metavar="FIELD",
        help="Field that holds your own id of each item. Default: from the definition.",
    ),
    click.option(
        "--callback-url",
        metavar="URL",
        help="URL or message target that receives an event for each item as soon as it finishes.",
    ),
    click.option(
        "--callback-url-field", type=FIELD, metavar="FIELD", help="Field that holds an item's own callback URL."
    ),
    click.option("--batch-callback-url", metavar="URL", help="URL that receives one event when the batch is complete."),
    click.option(
        "--fallback-url", metavar="URL", help="URL that receives one event for each callback that is given up."
    ),
    click.option(
        "--callback-schedule",
        type=click.Choice(list(SCHEDULES)),
        help="How callbacks are retried: standard, for up to four days, or short, for up to a quarter of an hour.",
    ),
    click.option(
        "--export",
        "exports",
        multiple=True,
        metavar="TARGET",
        help="Write all results in bulk to a folder/, s3://, gs://, az://, postgresql:// or conn://NAME, with a "
        "manifest at the end. May be given up to 8 times.",
    ),
    click.option(
        "--guard",
        "guards",
        multiple=True,
        metavar="FIELDS",
        help="Pause the batch when too much fails, such as rate=5%,in_flight=32; see `pipeline guards --help`. Can be "
        "repeated with different names.",
    ),
    click.option(
        "--idempotency-key",
        type=IDEMPOTENCY_KEY,
        metavar="KEY",
        help="Submit only once: the same submission with the same KEY finds the existing batch, or goes on where it "
        "was interrupted.",
    ),
    click.option(
        "--discard",
        is_flag=True,
        help="Remove what an interrupted submission with the same --idempotency-key has stored, and begin again.",
    ),
    click.option(
        "--on-error",
        type=click.Choice(["fail", "skip"]),
        default="fail",
        show_default=True,
        help="If items cannot be accepted: fail rejects all of INPUT, skip accepts the other items.",
    ),
    click.option(
        "--rejects",
        type=OUTPUT_PATH,
        metavar="FILE",
        help="Write rejected items, complete and with reasons, as JSON Lines.",
    ),
    click.option(
        "--weight",
        type=whole_number(bounds.WEIGHT),
        metavar="N",
        default=1,
        show_default=True,
        help="Share of the workers' capacity, relative to other batches.",
    ),
    click.option(
        "--fair-key",
        type=FAIR_KEY,
        metavar="NAME",
        help="Batches with the same NAME together get the share of one batch.",
    ),
)


def submission_options(command: F) -> F:
    """Add the options of a `SubmitRequest` to a command."""
    others = mapping_options(options.with_options(_OPTIONS[1:])(command))
    return options.with_options(_OPTIONS[:1])(reading_options(others))


@dataclass(frozen=True, slots=True)
class SubmitRequest:
    """The sources of the items, how to read them, and the options of the batch as on the command line."""

    sources: tuple[str, ...]
    reading: ReadOptions
    definition: str | None
    rename: tuple[tuple[str, str], ...]
    text: tuple[str, ...] | None
    fields: tuple[str, ...] | None
    key: str | None
    callback_url: str | None
    callback_url_field: str | None
    batch_callback_url: str | None
    fallback_url: str | None
    callback_schedule: str | None
    exports: tuple[str, ...]
    guards: tuple[str, ...]
    idempotency_key: str | None
    discard: bool
    on_error: str
    rejects: str | None
    weight: int
    fair_key: str | None

    @classmethod
    def of(cls, sources: Sequence[str], given: dict[str, Any]) -> Self:
        """Return the request of a command with `submission_options`."""
        reading = take_reading(given)
        return cls(sources=tuple(sources), reading=reading, **given)

    def to_submission(self, context: Context) -> Submission:
        """Return the submission without its items.

        Raises:
            click.UsageError: an option has no effect without another.
        """
        if self.fallback_url and not (self.callback_url or self.callback_url_field or self.batch_callback_url):
            raise click.UsageError(
                "--fallback-url has no effect without a callback; add --callback-url, --callback-url-field or "
                "--batch-callback-url"
            )
        if self.discard and self.idempotency_key is None:
            raise click.UsageError("--discard has no effect without --idempotency-key")
        chosen = (
            choose_definition(None, context.settings.definitions)
            if self.definition is None
            else find_local(context, self.definition)
        )
        return Submission(
            definition=map_input(chosen, self.rename, self.text, self.fields),
            callback_url=self.callback_url,
            batch_callback_url=self.batch_callback_url,
            fallback_url=self.fallback_url,
            callback_schedule=self.callback_schedule,
            idempotency_key=self.idempotency_key,
            fair_key=self.fair_key or "",
            weight=self.weight,
            key_field=self.key,
            callback_url_field=self.callback_url_field,
            exports=self.exports,
            caller=read_traceparent(os.environ.get("TRACEPARENT")),
            guards=tuple(parse_guard(each) for each in self.guards),
        )


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """A stored batch, and the numbers of rejected items and of blank rows."""

    submitted: Submitted
    rejected: int
    blank_rows: int


def store_batch(
    context: Context, request: SubmitRequest, messages: Messages, stop: StopSignals, *, as_json: bool
) -> StoredBatch:
    """Read the source and store its items as a batch, in constant memory.

    Args:
        as_json: show the progress as lines of JSON.

    Raises:
        InvalidItems: an item was rejected under `--on-error fail`, or there are no items.
        Stopped: a stop was requested; nothing is stored, unless the error says so.
    """
    submission = request.to_submission(context)
    report = ReadReport(warn=messages.warn)
    source = open_input(context, request.sources, submission, request.reading, report)
    all_or_none = request.on_error == "fail"
    with (
        open_rejections(request.rejects, messages, report, all_or_none=all_or_none) as rejections,
        read_progress(messages, source, lambda: rejections.count, as_json=as_json) as on_progress,
        _explained(request, rejections, messages),
    ):
        submitted = submit(
            context,
            SourceItems(source, through=stop.interruptible, log=rejections),
            submission,
            on_reject=rejections.add,
            on_progress=on_progress,
            all_or_none=all_or_none,
            discard=request.discard,
        )
    if submitted.without_url:
        count = pluralize(submitted.without_url, "item")
        messages.warn(f"{count} without a callback URL in the field {request.callback_url_field!r}")
    if not submitted.is_new:
        messages.info(
            f"idempotency key {request.idempotency_key!r} was used before: continuing batch {submitted.batch_id}"
        )
    return StoredBatch(submitted, rejections.count, report.blank_rows)


@contextmanager
def _explained(request: SubmitRequest, rejections: Rejections, messages: Messages) -> Iterator[None]:
    """Say what an error of a submission means on the command line."""
    try:
        yield
    except InvalidItems as error:
        raise _with_hint(error, request) from None
    except InvalidArgument as error:
        raise error.with_names(_OPTION_NAMES) from None
    except Stopped:
        if not rejections.kept:
            raise
        raise Stopped(f"stopped; {_go_on(rejections.kept)}") from None
    except Unreachable:
        # It says so itself.
        raise
    except PipelineError:
        if rejections.kept:
            messages.warn(_go_on(rejections.kept))
        raise


def _go_on(stored: int) -> str:
    return f"{pluralize(stored, 'item')} stored; run the same command again to go on"


def _with_hint(error: InvalidItems, request: SubmitRequest) -> InvalidItems:
    if request.on_error == "skip" or not error.rejections:
        return error
    kept = f"; the rejected ones are in {request.rejects}" if request.rejects else ""
    return InvalidItems(f"{error}\n--on-error skip accepts the others{kept}", error.rejections, error.count)
