"""Enrichers whose items wait, since the service behind them refuses everybody."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pipeline.context import Context
from pipeline.execution.sql import step_breakers


@dataclass(frozen=True, slots=True)
class WaitingStep:
    """An enricher whose breaker is open.

    Args:
        definition: the name of its definition.
        since: when the breaker opened.
        probe_at: when the next probe is due.
        failures: of the last `calls`, when it opened.
        error: what the last of them got.
    """

    definition: str
    step: str
    since: datetime
    probe_at: datetime
    failures: int
    calls: int
    error: str

    @property
    def text(self) -> str:
        """One sentence for people."""
        return (
            f"enricher {self.step} of definition {self.definition} waits since {self.since:%H:%M:%S}: "
            f"{self.failures} of the last {self.calls} calls failed: {self.error}"
        )


def find_waiting_steps(context: Context, batch: str | None = None) -> list[WaitingStep]:
    """Return the enrichers that wait.

    Args:
        batch: only those of its definition; None: all.
    """
    with context.database.read() as connection:
        found = step_breakers.find_of(connection, batch)
    return [
        WaitingStep(
            definition=row["definition"],
            step=row["step"],
            since=row["opened_at"],
            probe_at=row["open_until"],
            failures=row["failures"],
            calls=row["calls"],
            error=row["error"],
        )
        for row in found
    ]
