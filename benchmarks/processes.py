"""What processes take of the machine, by /proc."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from tests.services.guard import descendants
from tests.services.server import Server

_TICKS = os.sysconf("SC_CLK_TCK")


def processor_seconds(servers: Iterable[Server]) -> float:
    """Return the processor time of servers and their children since they were started."""
    return sum(processor_seconds_of(pid) for server in servers for pid in descendants(server.pid))


def processor_seconds_of(pid: int) -> float:
    """Return the processor time of a process; 0 where it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    # utime and stime, fields 14 and 15 of proc(5), counted here from the third.
    return (int(fields[11]) + int(fields[12])) / _TICKS


def memory(server: Server) -> float:
    """Return what a server and its children have in memory, in MiB."""
    return sum(status_of(pid, "VmRSS") for pid in descendants(server.pid))


def status_of(pid: int, field: str) -> float:
    """Return a field of /proc/PID/status in MiB: `VmRSS` is in memory, `VmHWM` its peak; 0 where nothing runs."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    found = next((line for line in status.splitlines() if line.startswith(f"{field}:")), None)
    return int(found.split()[1]) / 1024 if found else 0.0
