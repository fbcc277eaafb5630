"""How streams behave in time and number."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """How streams behave in time and number.

    Args:
        most: open streams of one key.
        heartbeat_seconds: of silence, after which a stream says that it lives.
        age_seconds: after which a server-sent stream ends, and its reader connects anew; up to 20 % more or less.
        recheck_seconds: between two checks that the keys of open streams may still be used.
        overview_seconds: between two messages about the same batch in the stream of all batches.
    """

    most: int = 100
    heartbeat_seconds: float = 15.0
    age_seconds: float = 600.0
    recheck_seconds: float = 4.0
    overview_seconds: float = 0.5
