"""`pipeline consume`."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from typing import Any

import click

from pipeline.batches.prepare import prepare
from pipeline.batches.submission import Submission, check_receiver, checked
from pipeline.cli import options
from pipeline.cli.argument_types import FAIR_KEY, whole_number
from pipeline.cli.definition_choice import choose_definition
from pipeline.cli.error_report import INTERRUPTED
from pipeline.cli.run.session import open_context
from pipeline.cli.run.stop_signals import Stopped, StopSignals
from pipeline.cli.run.wake_workers import wake_workers
from pipeline.cli.show.output import Messages, pluralize, print_json
from pipeline.client.client import Client
from pipeline.client.connect import session_on
from pipeline.connections.connection import NamedConnections
from pipeline.context import Context
from pipeline.database.row import Row
from pipeline.definitions import Definition
from pipeline.domain import bounds
from pipeline.domain.retry_schedule import SCHEDULES
from pipeline.domain.urls.intake_source import HANDED_OVER, IntakePlace, split_lines
from pipeline.errors import InvalidInput
from pipeline.intakes import intakes
from pipeline.intakes.consume import Consumed, Consumption, IntakeConsumer
from pipeline.intakes.roll import seal
from pipeline.intakes.rules.options import Dedupe, IntakeOptions
from pipeline.intakes.sources.open_source import OpenSource, locate
from pipeline.intakes.sources.source import IntakeReader
from pipeline.intakes.sql.intakes import count_pending

_DEFAULTS = IntakeOptions()
_COUNT = whole_number(bounds.WholeNumber(1, 1_000_000))
_SECONDS = click.FloatRange(0.1, 10_000_000)


@click.command()
@click.argument("source", metavar="SOURCE")
@options.definition
@click.option("--name", metavar="NAME", help="Name of the intake. Default: that of the topic, stream, queue or table.")
@click.option(
    "--from",
    "begin",
    type=click.Choice(["earliest", "latest"]),
    default="earliest",
    show_default=True,
    help="Where a topic or stream that was never read begins.",
)
@click.option(
    "--roll-items",
    type=_COUNT,
    default=_DEFAULTS.roll_items,
    show_default=True,
    metavar="N",
    help="Seal a batch once it has N items.",
)
@click.option(
    "--roll-seconds",
    type=_SECONDS,
    default=_DEFAULTS.roll_seconds,
    show_default=True,
    metavar="SECONDS",
    help="Seal a batch so long after its first item.",
)
@click.option(
    "--roll-idle",
    type=_SECONDS,
    default=_DEFAULTS.roll_idle,
    show_default=True,
    metavar="SECONDS",
    help="Seal a batch after so long without a message.",
)
@click.option(
    "--chunk",
    type=whole_number(bounds.WholeNumber(1, 5_000)),
    default=_DEFAULTS.chunk,
    show_default=True,
    metavar="N",
    help="Accept up to N messages in one transaction.",
)
@click.option(
    "--max-pending",
    type=_COUNT,
    default=_DEFAULTS.max_pending,
    show_default=True,
    metavar="N",
    help="Take nothing while N items of the intake wait, until half of them are done.",
)
@click.option(
    "--max-reject-rate",
    type=click.FloatRange(0, 1),
    default=_DEFAULTS.max_reject_rate,
    show_default=True,
    metavar="SHARE",
    help="Stop if more of the last 1,000 messages cannot be items.",
)
@click.option(
    "--dedupe",
    type=click.Choice([each.value for each in Dedupe]),
    default=_DEFAULTS.dedupe,
    show_default=True,
    help="By what a message is known that comes again; auto: its offset, else its id, else the key of its item.",
)
@click.option("--items", metavar="FIELD", help="Field of a message that holds its item, or a list of items.")
@click.option(
    "--stop-when-idle",
    type=_SECONDS,
    metavar="SECONDS",
    help="Seal the batch and end after so long without a message; without a broker, once its items are done.",
)
@click.option("--callback-url", metavar="URL", help="URL that receives a signed event for each item.")
@click.option("--batch-callback-url", metavar="URL", help="URL that receives one event when a batch is complete.")
@click.option("--fallback-url", metavar="URL", help="URL that receives one event for each callback that is given up.")
@click.option("--reject-to", metavar="URL", help="URL that receives one event for each message that cannot be an item.")
@click.option("--callback-schedule", type=click.Choice(list(SCHEDULES)), help="How callbacks are retried.")
@click.option(
    "--export",
    "exports",
    multiple=True,
    metavar="TARGET",
    help="Write the results of each batch in bulk. May be given up to 8 times.",
)
@click.option(
    "--weight",
    type=whole_number(bounds.WEIGHT),
    default=1,
    show_default=True,
    metavar="N",
    help="Share of the workers' capacity, relative to other batches.",
)
@click.option(
    "--fair-key",
    type=FAIR_KEY,
    metavar="NAME",
    help="Batches with the same NAME together get the share of one batch.",
)
@options.quiet
@options.as_json
def consume(
    source: str,
    definition: str | None,
    name: str | None,
    begin: str,
    stop_when_idle: float | None,
    quiet: bool,
    as_json: bool,
    **given: Any,
) -> int:
    """Turn the messages of SOURCE into items.

    SOURCE is a Kafka topic, kafka://HOST/TOPIC, a Redis stream, redis://HOST/DATABASE/STREAM, a stream of NATS
    JetStream, nats://HOST/STREAM, a queue of RabbitMQ, amqp://HOST/VHOST/QUEUE, or of SQS, sqs://REGION/ACCOUNT/QUEUE,
    or an outbox table, postgresql://HOST/DATABASE/TABLE, also by a connection: conn://NAME/… Each message is one JSON
    object; with ?lines behind the SOURCE, each of its lines is one. Items go to an open batch, which is sealed when it
    is full, old or idle; the next message opens another. Without a broker, the items are processed here. It runs until
    it is stopped.

    \b
    Examples:
      pipeline consume redis://127.0.0.1/0/tickets -p definition.toml
      pipeline consume kafka://kafka.internal:9092/tickets -p definition.toml
      pipeline consume conn://shop/public.outbox -p definition.toml --roll-items 1000
    """
    messages = Messages(quiet)
    with open_context(may_create=True) as context, StopSignals() as stop, ExitStack() as stack:
        chosen = choose_definition(definition, context.settings.definitions)
        place, open_source, has_lines = _located(source, begin, context.connections)
        given["fair_key"] = given["fair_key"] or ""
        submission = checked(context, Submission(chosen, **{each: given.pop(each) for each in _OF_SUBMISSION}))
        intake_options = _intake_options(context, chosen, {**given, "has_lines": has_lines})
        prepare(context, chosen)
        name = name or place.name
        bounds.FIELD.check("name", name)
        intake = intakes.register(context, name, source, submission, intake_options)
        consumption = _consumption(intake, submission, intake_options, open_source, begin, stop_when_idle)
        if context.settings.is_embedded:
            client = stack.enter_context(Client(session_on(context)))
            client.work()
        messages.info(f"intake {name!r} takes messages from {source}; stop it with Ctrl-C")
        consumer = IntakeConsumer(context, consumption, lambda: wake_workers(context, messages))
        code = 0
        try:
            consumer.run(stop)
            _finish(context, consumption, stop)
        except Stopped:
            code = INTERRUPTED
        return _report(consumer.done, messages, code, as_json=as_json)


_OF_SUBMISSION = (
    *("callback_url", "batch_callback_url", "fallback_url", "callback_schedule", "exports", "weight", "fair_key"),
)


def _intake_options(context: Context, definition: Definition, given: dict[str, Any]) -> IntakeOptions:
    dedupe, reject_to = str(given["dedupe"]), given["reject_to"]
    if reject_to is not None:
        reject_to = check_receiver(context, reject_to, name="reject_to")
    if dedupe == Dedupe.KEY and definition.input.key is None:
        raise InvalidInput("--dedupe key needs keys; name the field that holds them as `key` in [input]")
    return IntakeOptions(**{**given, "dedupe": dedupe, "reject_to": reject_to})


def _located(source: str, begin: str, connections: NamedConnections) -> tuple[IntakePlace, OpenSource, bool]:
    """Return what a source is, what opens it, and whether each line of a message is an item."""
    address, has_lines = split_lines(source)
    place, open_source = locate(address, connections)
    if begin == "latest" and isinstance(place, HANDED_OVER):
        raise InvalidInput(
            f"--from latest has no effect on {place.name!r}, which hands over all it holds; leave it out, or empty it "
            "first"
        )
    return place, open_source, has_lines


def _consumption(
    intake: Row,
    submission: Submission,
    given: IntakeOptions,
    open_source: OpenSource,
    begin: str,
    idle_seconds: float | None,
) -> Consumption:
    # What comes after the first message is never left out.
    begins_at_end = begin == "latest" and intake["last_message_at"] is None
    opened = partial(open_source, IntakeReader(intake["name"], given.chunk, begins_at_end))
    return Consumption(intake["name"], intake["id"], submission, given, opened, begins_at_end, idle_seconds)


def _finish(context: Context, consumption: Consumption, stop: StopSignals) -> None:
    """Seal the open batch, and wait for its items if they are processed here."""
    batch_id = intakes.find(context, consumption.name)["batch_id"]
    if batch_id is not None:
        seal(context, consumption.intake_id, batch_id)
    while context.settings.is_embedded:
        with context.database.read() as connection:
            if not count_pending(connection, consumption.intake_id):
                return
        stop.wait(0.05)


def _report(done: Consumed, messages: Messages, code: int, *, as_json: bool) -> int:
    if as_json:
        print_json(asdict(done))
    if done.stopped_by is not None:
        messages.warn(done.stopped_by)
        code = 1
    rejected = f", {done.rejected:,} rejected" if done.rejected else ""
    duplicates = f", {done.duplicates:,} received again" if done.duplicates else ""
    messages.info(f"{pluralize(done.accepted, 'item')} accepted{rejected}{duplicates}")
    return code
