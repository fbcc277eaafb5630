"""`pipeline worker`."""

from __future__ import annotations

import os
import sys

import click

from pipeline import settings
from pipeline.bootstrap import make_context
from pipeline.errors import InvalidInput, InvalidSettings

_QUEUES = ("classify", "enrich", "deliver", "control")
_POOLS = ("threads", "solo", "prefork")
_LEVELS = ("debug", "info", "warning", "error")


class _Queues(click.ParamType[str]):
    """Names of queues, separated by commas."""

    name = "queues"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        names = [name.strip() for name in value.split(",") if name.strip()]
        unknown = [name for name in names if name not in _QUEUES]
        if unknown or not names:
            self.fail(f"{', '.join(unknown) or 'nothing'} is no queue; choose from {', '.join(_QUEUES)}", param, ctx)
        return ",".join(dict.fromkeys(names))


@click.command()
@click.option(
    "--queues", "-Q", type=_Queues(), default=",".join(_QUEUES), show_default=True, help="What this worker does."
)
@click.option("--processes", "-n", type=click.IntRange(1, 256), default=1, show_default=True, help="Processes to run.")
@click.option(
    "--pool",
    type=click.Choice(_POOLS),
    default="threads",
    show_default=True,
    help="threads: fastest. prefork: code that may crash or leak takes only its own process with it.",
)
@click.option("--name", help="Name in Flower, unique on this host. Default: with the process id.")
@click.option(
    "--log-level", type=click.Choice(_LEVELS), default="info", show_default=True, help="Least grave event to log."
)
def worker(queues: str, processes: int, pool: str, name: str | None, log_level: str) -> int:
    """Work on batches, beside any number of other workers on the same database and broker.

    Queues: `classify` and `enrich` run the stages of items, `deliver` sends callbacks, `control` dispatches and
    sweeps. Each must be served by some worker; several may serve the same. Threads of one process share one core for
    what is written in Python: use processes.

    SIGTERM and Ctrl-C finish what has begun, or hand it back after PIPELINE_STOP_SECONDS; SIGQUIT and a second Ctrl-C
    hand it back at once. Whatever ends otherwise is found by the sweeps.

    \b
    Examples:
      pipeline worker
      pipeline worker --queues classify,enrich --processes 4
      pipeline worker --queues deliver,control
      pipeline worker --queues enrich --pool prefork --processes 2
    """
    _check_set_up()
    # Two of one name would take each other's mail.
    name = name or f"pipeline-{os.getpid()}"
    if "@" in name:
        raise InvalidInput(f"--name {name!r}: the host is added by itself; give a name without @")
    # Here, since Celery is not needed to refuse what cannot work.
    if processes == 1 or pool == "prefork":
        from workers import process

        children = processes if pool == "prefork" else None
        return process.run(queues.split(","), pool, name, log_level, concurrency=children)
    from workers.logs import configure
    from workers.supervisor import Supervisor

    configure(log_level.upper())
    options = ["--queues", queues, "--pool", pool, "--log-level", log_level]
    command = [sys.executable, "-m", "pipeline", "worker", *options]
    return Supervisor([[*command, "--name", f"{name}-{number}"] for number in range(1, processes + 1)]).run()


def _check_set_up() -> None:
    """Refuse here what every process would stumble over."""
    chosen = settings.load()
    if chosen.is_embedded:
        raise InvalidSettings(
            "PIPELINE_BROKER_URL is not set, and without a broker there is nothing that workers could share; set it "
            "to redis://… or amqp://…, or use `pipeline run`, which works in its own process"
        )
    make_context(chosen).database.close()
