"""`pipeline doctor`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import click

from pipeline import settings
from pipeline.cli import options
from pipeline.cli.checks.broker import check_broker
from pipeline.cli.checks.check import Check, CheckStatus, fail
from pipeline.cli.checks.configuration import check_settings
from pipeline.cli.checks.database import check_database
from pipeline.cli.checks.definitions import check_definitions
from pipeline.cli.checks.environment import check_environment
from pipeline.cli.checks.liveness import check_vitals
from pipeline.cli.run.session import opened
from pipeline.cli.show.output import print_json
from pipeline.cli.show.table import print_table
from pipeline.errors import PipelineError


@click.command()
@options.as_json
@click.option("--live", is_flag=True, help="Only say whether the workers of this host make progress: exit code 0 or 1.")
def doctor(as_json: bool, live: bool) -> int:
    """Check Python, packages, settings, database, broker and definitions, and say what to do.

    Exit code 1 where something fails, 3 where a service does not answer. Secrets are not shown.

    \b
    Examples:
      pipeline doctor
      pipeline doctor --json
      pipeline doctor --live
    """
    found = list(_live() if live else _checks())
    verdicts = {check.verdict for check in found}
    if as_json:
        print_json([asdict(check) for check in found])
    else:
        print_table(("", "check", "found", "what to do"), [(c.verdict, c.name, c.value, c.advice) for c in found])
    if CheckStatus.UNREACHABLE in verdicts:
        return 3
    return 1 if CheckStatus.FAIL in verdicts else 0


def _live() -> Iterator[Check]:
    with opened() as context:
        yield from check_vitals(context)


def _checks() -> Iterator[Check]:
    yield from check_environment()
    try:
        chosen = settings.load()
    except PipelineError as error:
        # Nothing else can be looked at without settings.
        yield fail("settings", error, "correct or unset the variable")
        return
    yield from check_settings(chosen)
    yield from check_database(chosen)
    yield from check_broker(chosen)
    yield from check_definitions(chosen)
