"""The result of `pipeline doctor`."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import asdict

from rich.text import Text

from pipeline.cli.checks.check import Check, CheckStatus
from pipeline.cli.show.output import format_value, print_json
from pipeline.cli.show.table import console

_STYLES = {CheckStatus.OK: "green", CheckStatus.WARN: "yellow"}
_GAP = "  "


def report_checks(checks: Sequence[Check], *, as_json: bool) -> int:
    """Print checks, and return the exit code of the command."""
    if as_json:
        print_json([asdict(check) for check in checks])
    else:
        print_checks(checks)
    verdicts = {check.verdict for check in checks}
    if CheckStatus.UNREACHABLE in verdicts:
        return 3
    return 1 if CheckStatus.FAIL in verdicts else 0


def print_checks(checks: Sequence[Check]) -> None:
    """Print one line for each check, and below it the advice. Long values are wrapped under their column."""
    out = console(err=False)
    arrow = "→" if out.encoding.startswith("utf") else "->"
    widths = max(len(check.verdict) for check in checks), max(len(check.name) for check in checks)
    indents = tuple(width + len(_GAP) for width in widths)
    room = max(out.width - sum(indents), 20)
    for check in checks:
        first, *rest = textwrap.wrap(
            format_value(check.value), room, break_long_words=False, break_on_hyphens=False
        ) or [""]
        line = Text.assemble(
            (check.verdict.value.ljust(indents[0]), _STYLES.get(check.verdict, "red")),
            check.name.ljust(indents[1]),
            first,
        )
        line.rstrip()
        out.print(line, soft_wrap=True)
        for more in rest:
            out.print(" " * sum(indents) + more, soft_wrap=True)
        if check.advice:
            # Not wrapped: commands in it can be copied.
            out.print(f"{' ' * indents[0]}{arrow} {format_value(check.advice)}", soft_wrap=True)
