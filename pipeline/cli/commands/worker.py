"""`pipeline worker`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.bootstrap import make_context
from pipeline.errors import InvalidInput, InvalidSettings
from pipeline.settings import Settings
from pipeline.settings import load as load_settings

if TYPE_CHECKING:
    from workers.engine.metrics_server import MetricsServer

_QUEUES = ("classify", "enrich", "deliver", "control")
_POOLS = ("threads", "solo", "prefork")
_LEVELS = ("debug", "info", "warning", "error")


class _Queues(click.ParamType[str]):
    """The names of queues, separated by commas."""

    name = "queues"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        names = [name.strip() for name in value.split(",") if name.strip()]
        unknown = [name for name in names if name not in _QUEUES]
        if unknown or not names:
            reason = f"unknown queue: {', '.join(unknown)}" if unknown else "no queue given"
            self.fail(f"{reason}; choose from {', '.join(_QUEUES)}", param, ctx)
        return ",".join(dict.fromkeys(names))


@click.command()
@click.option(
    "--queues",
    "-Q",
    type=_Queues(),
    metavar="QUEUES",
    default=",".join(_QUEUES),
    show_default=True,
    help="Queues to serve, separated by commas.",
)
@click.option(
    "--processes",
    "-n",
    type=click.IntRange(1, 256),
    metavar="N",
    default=1,
    show_default=True,
    help="Number of processes.",
)
@click.option(
    "--pool",
    type=click.Choice(_POOLS),
    default="threads",
    show_default=True,
    help="threads is fastest; prefork isolates code that may crash or leak memory in child processes.",
)
@click.option(
    "--name", metavar="NAME", help="Name of the worker in Flower, unique on this host. Default: pipeline-PID."
)
@click.option(
    "--metrics-to", type=click.Path(path_type=Path), hidden=True, help="Socket of the process that shows the metrics."
)
@click.option("--log-level", type=click.Choice(_LEVELS), default="info", show_default=True, help="Lowest level to log.")
def worker(queues: str, processes: int, pool: str, name: str | None, metrics_to: Path | None, log_level: str) -> int:
    """Run a worker that processes batches.

    Any number of workers can share a database and a broker. The queues `classify` and `enrich` run the stages of items,
    `deliver` sends callbacks, `control` dispatches items and runs the sweeps. Each queue needs at least one worker, and
    several workers may serve the same queue. The threads of a process share one core for pure Python code; use
    --processes to use more.

    On SIGTERM or Ctrl-C, a worker finishes its work, or returns it to the queue after PIPELINE_STOP_SECONDS. On SIGQUIT
    or a second Ctrl-C, it returns its work at once. If a worker dies in any other way, the sweeps recover its work.

    \b
    Examples:
      pipeline worker
      pipeline worker --queues classify,enrich --processes 4
      pipeline worker --queues deliver,control
      pipeline worker --queues enrich --pool prefork --processes 2
    """
    settings = _check_setup()
    # Two workers of the same name would receive each other's control messages.
    name = name or f"pipeline-{os.getpid()}"
    if "@" in name:
        raise InvalidInput(f"--name {name!r}: give a name without @; the host name is added automatically")
    metrics = _prepare_metrics(settings, metrics_to, is_alone=processes == 1 and pool != "prefork")
    # Imported late: the checks above do not need Celery.
    if processes == 1 or pool == "prefork":
        from workers import process

        children = processes if pool == "prefork" else None
        return process.run(queues.split(","), pool, name, log_level, concurrency=children)
    from workers.logs import configure
    from workers.supervisor import Supervisor

    configure(log_level.upper())
    options = ["--queues", queues, "--pool", pool, "--log-level", log_level]
    if metrics is not None:
        options += ["--metrics-to", str(metrics.path)]
    command = [sys.executable, "-m", "pipeline", "worker", *options]
    commands = [[*command, "--name", f"{name}-{number}"] for number in range(1, processes + 1)]
    return Supervisor(commands, metrics=metrics).run()


def _prepare_metrics(settings: Settings, report_to: Path | None, *, is_alone: bool) -> MetricsServer | None:
    """Count what is done, if somebody wants to know. Return what shows it, unless this process only reports it.

    Raises:
        InvalidInput: the address cannot be listened on.
    """
    if report_to is None and not settings.has_metrics:
        return None
    from workers.engine.metrics_server import report_metrics, serve_metrics

    if report_to is not None:
        report_metrics(report_to)
        return None
    return serve_metrics(settings, with_users_metrics=is_alone)


def _check_setup() -> Settings:
    """Fail early, once, if no worker process could start: without a broker, or with an unusable database."""
    settings = load_settings()
    if settings.is_embedded:
        raise InvalidSettings(
            "PIPELINE_BROKER_URL is not set, and workers need a broker; set it to redis://… or amqp://…, or use "
            "`pipeline run`, which needs none"
        )
    make_context(settings).database.close()
    return settings
