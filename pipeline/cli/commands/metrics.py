"""`pipeline metrics`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.run.session import open_context
from pipeline.cli.run.stop_signals import Stopped, StopSignals
from pipeline.cli.streams import print_data
from pipeline.telemetry.address import parse_address
from pipeline.telemetry.textfile import TextFile

if TYPE_CHECKING:
    from pipeline.monitoring.page import MonitoringServer

DEFAULT_LISTEN = "127.0.0.1:9465"
_LOOK_SECONDS = 60.0


class _Address(click.ParamType[tuple[str, int]]):
    """A host and a port."""

    name = "host:port"

    def convert(
        self, value: str | tuple[str, int], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        if isinstance(value, tuple):
            return value
        try:
            return parse_address(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command()
@click.option(
    "--listen", type=_Address(), metavar="HOST:PORT", default=DEFAULT_LISTEN, show_default=True,
    help="Address to listen on; port 0 takes any free port.",
)  # fmt: skip
@click.option("--once", is_flag=True, help="Print the page and exit.")
@click.option(
    "--textfile", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="Write the page into FILE every 15 s instead of listening, for Prometheus's node exporter.",
)  # fmt: skip
def metrics(listen: tuple[str, int], once: bool, textfile: Path | None) -> int:
    """Serve metrics for Prometheus and for autoscalers.

    They are about the whole installation, and read from the database.

    Answers /metrics in the formats of Prometheus, /live for probes, and /scale/classify and /scale/enrich for
    autoscalers: how many worker processes the queue wants. It asks nobody who he is: listen on this machine, or on a
    network that only your cluster reaches. The database is read at most every 5 s, however many ask, and any number of
    these may run: all show the same.

    What workers count themselves, such as durations, is shown by workers that have PIPELINE_METRICS_LISTEN set.

    \b
    Examples:
      pipeline metrics
      pipeline metrics --listen 0.0.0.0:9465
      pipeline metrics --once
      pipeline metrics --textfile /var/lib/node_exporter/pipeline.prom
    """
    # Imported here: it need not be installed.
    from pipeline.monitoring.page import MonitoringServer

    with open_context() as context:
        server = MonitoringServer(context, None if once or textfile is not None else listen)
        try:
            if once:
                return _print(server)
            with StopSignals() as signals:
                _serve(server, listen[0], textfile, signals)
        finally:
            server.stop()
    return 0


def _print(server: MonitoringServer) -> int:
    """Print the page. Return 1 if the database could not be read."""
    print_data(server.text().rstrip(b"\n"))
    return 0 if server.collector.collect().is_success else 1


def _serve(server: MonitoringServer, host: str, textfile: Path | None, signals: StopSignals) -> None:
    """Show the page until a signal ends it."""
    file = None if textfile is None else TextFile(textfile, server.text_file)
    server.start()
    if file is None:
        print_data(f"http://{f'[{host}]' if ':' in host else host}:{server.port}/metrics")
    else:
        file.start()
    try:
        while True:
            signals.wait(_LOOK_SECONDS)
    except Stopped:
        if file is not None:
            file.stop()
