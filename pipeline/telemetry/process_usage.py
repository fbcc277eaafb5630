"""The memory and the processor time of this process."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from pipeline.telemetry.families import CPU_SECONDS, RESIDENT_BYTES
from pipeline.telemetry.meter import Meter

_STATM = Path("/proc/self/statm")


class ProcessUsage:
    """Counts what this process uses.

    Args:
        role: what it does: worker, child, sender, dispatcher, supervisor or server.
    """

    def __init__(self, meter: Meter, role: str) -> None:
        self._meter, self._role = meter, (role,)
        self._counted = 0.0

    def measure(self) -> None:
        """Set its memory, and add the processor time since the last call."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        seconds = usage.ru_utime + usage.ru_stime
        self._meter.add(CPU_SECONDS, self._role, seconds - self._counted)
        self._counted = seconds
        self._meter.set(RESIDENT_BYTES, self._role, _resident(usage.ru_maxrss))


def _resident(peak: int) -> float:
    try:
        return float(_STATM.read_bytes().split()[1]) * resource.getpagesize()
    except OSError:
        # Only Linux has it: the peak, which macOS gives in bytes.
        return float(peak if sys.platform == "darwin" else peak * 1024)
