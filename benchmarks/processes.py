"""What processes take of the machine, by /proc."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from tests.support.servers.guard import descendants
from tests.support.servers.server import Server

_TICKS = os.sysconf("SC_CLK_TCK")


def processor_seconds(servers: Iterable[Server]) -> float:
    """Return the processor time of servers and their children since they were started, of those that ended as well."""
    return sum(sum(_times_of(pid)) for server in servers for pid in descendants(server.pid))


def own_processor_seconds() -> float:
    """Return the processor time of this process alone."""
    return sum(_times_of(os.getpid())[:2])


def _times_of(pid: int) -> list[float]:
    """Return what a process took itself, as a user and in the kernel, and the same of children that have ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
    # Fields 14 to 17 of proc(5), counted here from the third.
    return [int(field) / _TICKS for field in fields[11:15]]


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
