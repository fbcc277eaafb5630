"""The same job on the pipeline and by hand on other queues, side by side in one run.

python -m benchmarks.compare [--rounds 3] [--processes 2] [--seconds 8] [--json FILE] [--only NAME] [--items N]

It starts PostgreSQL (durable, its defaults), Redis, RabbitMQ where it is installed, and a receiver. In a first look,
each contestant is measured in each of its ways, and the fastest counts. Then they take turns, round by round, each with
as many items as take it some seconds: what is compared are rates.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from benchmarks.comparison.entrant import ENTRANTS, Entrant
from benchmarks.comparison.machine import Machine
from benchmarks.comparison.receiver import Receiver
from benchmarks.comparison.report import Comparison
from benchmarks.comparison.trial import Bench, Trial
from tests.support.servers.postgres import Postgres
from tests.support.servers.rabbitmq import RabbitMQ
from tests.support.servers.redis import Redis
from tests.support.servers.server import NotAvailable

#: Fewer would measure the start and the end.
FEWEST_ITEMS = 500


@click.command()
@click.option("--rounds", default=3, show_default=True)
@click.option("--looks", default=1, show_default=True, help="At each way of a contestant; 0: the first counts.")
@click.option("--processes", default=2, show_default=True, help="Worker processes of each contestant.")
@click.option("--seconds", default=8.0, show_default=True, help="That a run should take.")
@click.option("--items", type=int, help="In every run, instead of so many seconds.")
@click.option("--only", multiple=True, help="Part of a contestant's name; may be given again.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="File that takes the raw figures.")
@click.option(
    "--write/--no-write", default=None, help="Table and chart into docs/. Default: if it was a whole comparison."
)
def main(json_file: Path | None, write: bool | None, **options: Any) -> None:
    """Compare the pipeline with the same job by hand."""
    plan = Plan(**options)
    load = os.getloadavg()[0]
    with _servers() as (postgres, brokers, receiver):
        machine = Machine.look(postgres, brokers, receiver, load)
        click.echo(machine.to_text() + "\n")
        entrants = [each for each in ENTRANTS if plan.takes(each) and each.broker in (*brokers, "none")]
        looks, trials = _measure(Bench(postgres, brokers, receiver), entrants, plan)
    comparison = Comparison(entrants, trials, machine, plan.processes)
    click.echo("\n" + comparison.to_text())
    if json_file is not None:
        figures = {"machine": machine, "plan": plan, "looks": looks, "runs": trials}
        json_file.write_text(json.dumps(figures, default=asdict, indent=2) + "\n")
    if any(trial.complaints for trial in trials):
        raise click.ClickException("not every run counts, see above; nothing is written into docs/")
    if plan.is_whole if write is None else write:
        comparison.write()


@dataclass(frozen=True)
class Plan:
    """What is asked for."""

    rounds: int
    looks: int
    processes: int
    seconds: float
    items: int | None
    only: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        """Whether its figures are fit for the documents."""
        return not self.only and self.items is None and self.looks > 0 and self.rounds > 1

    def takes(self, entrant: Entrant) -> bool:
        """Return whether a contestant takes part."""
        return not self.only or any(part.lower() in entrant.title.lower() for part in self.only)

    def size(self, entrant: Entrant, look: Trial | None) -> int:
        """Return how many items a run of a contestant has that was as fast as this at first."""
        if look is None:
            return self.items or entrant.first_look
        return self.items or max(FEWEST_ITEMS, int(round(look.rate * self.seconds, -2)))


def _measure(bench: Bench, entrants: Sequence[Entrant], plan: Plan) -> tuple[list[Trial], list[Trial]]:
    """Return the first looks, and then the rounds."""
    looks = [
        _run(bench, entrant, way, 0, plan.items or entrant.first_look, plan)
        for _ in range(plan.looks)
        for entrant in entrants
        for way in entrant.ways
    ]
    trials = []
    for number in range(1, plan.rounds + 1):
        # Every other round backwards, so that nobody always comes after the same one.
        for entrant in entrants[:: 1 if number % 2 else -1]:
            best = _best(looks, entrant)
            way = best.way if best else entrant.ways[0]
            trials.append(_run(bench, entrant, way, number, plan.size(entrant, best), plan))
    return looks, trials


def _best(looks: Sequence[Trial], entrant: Entrant) -> Trial | None:
    """Return the fastest look at a contestant, if there was one; one that does not count, only for want of another."""
    own = [look for look in looks if look.title == entrant.title]
    return max(own, key=lambda look: (not look.complaints, look.rate), default=None)


def _run(bench: Bench, entrant: Entrant, way: str, number: int, items: int, plan: Plan) -> Trial:
    trial = bench.run(entrant, way, number, items, plan.processes)
    when = f"round {number}" if number else "look"
    told = f"{trial.items:>7,} items in {trial.seconds:6.2f} s, {trial.rate:7,.0f}/s"
    if trial.complaints:
        told = f"DOES NOT COUNT: {'; '.join(trial.complaints)}"
    click.echo(f"{when:<8} {entrant.title:<26} {way:<14} {told}")
    return trial


@contextmanager
def _servers() -> Iterator[tuple[Postgres, dict[str, Redis | RabbitMQ], Receiver]]:
    with ExitStack() as stack:
        brokers: dict[str, Redis | RabbitMQ] = {"redis": stack.enter_context(Redis())}
        try:
            brokers["rabbitmq"] = stack.enter_context(RabbitMQ())
        except NotAvailable as error:
            click.echo(f"left out: everything on RabbitMQ: {error}")
        yield stack.enter_context(Postgres(is_durable=True)), brokers, stack.enter_context(Receiver())


if __name__ == "__main__":
    main()
