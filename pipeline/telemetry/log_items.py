"""`PIPELINE_LOG_ITEMS`: for which items each attempt is logged."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.telemetry.trace_ids import sample_number

_SAMPLE = "sample:"
OFF, DEAD, ALL = "off", "dead", "all"


@dataclass(frozen=True, slots=True)
class LogItems:
    """Which attempts are logged.

    Args:
        rate: the share of items whose attempts are logged, from 0 to 1.
        dead: whether attempts after which an item is dead are always logged.
    """

    rate: float = 0.0
    dead: bool = False

    @property
    def is_off(self) -> bool:
        return not self.rate and not self.dead

    def takes(self, item_id: str, *, is_dead: bool) -> bool:
        """Return whether an attempt of an item is logged."""
        return self.rate >= 1.0 or (is_dead and self.dead) or (self.rate > 0.0 and sample_number(item_id) < self.rate)


def parse_log_items(text: str) -> LogItems:
    """Return what `off`, `dead`, `sample:RATE` or `all` means.

    Raises:
        ValueError: it is none of them.
    """
    match text:
        case "off":
            return LogItems()
        case "dead":
            return LogItems(dead=True)
        case "all":
            return LogItems(rate=1.0)
    try:
        rate = float(text.removeprefix(_SAMPLE)) if text.startswith(_SAMPLE) else -1.0
    except ValueError:
        rate = -1.0
    if not 0.0 < rate <= 1.0:
        raise ValueError("expected off, dead, all, or sample: and a share above 0 and up to 1, such as sample:0.01")
    return LogItems(rate=rate)
