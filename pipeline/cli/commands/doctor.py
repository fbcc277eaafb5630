"""`pipeline doctor`."""

from __future__ import annotations

from collections.abc import Iterator

import click

from pipeline.cli import options
from pipeline.cli.checks.alerts import check_alerts
from pipeline.cli.checks.broker import check_broker
from pipeline.cli.checks.check import Check, fail
from pipeline.cli.checks.configuration import check_settings
from pipeline.cli.checks.connections import check_connections
from pipeline.cli.checks.database import check_database
from pipeline.cli.checks.definitions import check_definitions
from pipeline.cli.checks.environment import check_environment
from pipeline.cli.checks.liveness import check_liveness
from pipeline.cli.checks.queues import check_queues
from pipeline.cli.run.session import open_context
from pipeline.cli.show.checks import report_checks
from pipeline.errors import PipelineError
from pipeline.settings import load as load_settings


@click.command()
@options.as_json
@click.option(
    "--live",
    is_flag=True,
    help="Only check that workers on this host make progress, and that queues with work are served.",
)
@click.option("--fleet", is_flag=True, help="With --live: check the workers of every host.")
def doctor(as_json: bool, live: bool, fleet: bool) -> int:
    """Check the installation and suggest fixes.

    This covers Python, packages, settings, database, broker and definitions, and whether workers serve each queue for
    which there is work. Secrets are not shown. Exit code 1 if a check fails, 3 if a service does not respond.

    With PIPELINE_SERVER_URL, it checks that server and the API key instead of database, broker and definitions.

    \b
    Examples:
      pipeline doctor
      pipeline doctor --json
      pipeline doctor --live
      pipeline doctor --live --fleet
    """
    if fleet and not live:
        raise click.UsageError("--fleet has no effect without --live")
    return report_checks(list(_live_checks(fleet) if live else _checks()), as_json=as_json)


def _live_checks(fleet: bool) -> Iterator[Check]:
    with open_context() as context:
        yield from check_liveness(context, fleet=fleet)
        yield from check_queues(context)


def _checks() -> Iterator[Check]:
    yield from check_environment()
    try:
        settings = load_settings()
    except PipelineError as error:
        # The other checks need the settings.
        yield fail("settings", error, "correct or unset the variable")
        return
    yield from check_settings(settings)
    yield from check_connections(settings)
    yield from check_alerts(settings)
    yield from check_database(settings)
    yield from check_broker(settings)
    yield from check_definitions(settings)
