"""Names of processes that hold work, and which of them are certainly gone."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterable
from functools import cache
from pathlib import Path

#: Stands for the start of a process where it cannot be read.
UNKNOWN = "0"
#: Fields of /proc/PID/stat between the program's name and the start.
_STARTED = 19


def new_holder() -> str:
    """Return a name for this process: `pid.started.nonce@place`."""
    return f"{os.getpid()}.{_started('self') or UNKNOWN}.{secrets.token_hex(4)}@{_place()}"


def certainly_dead(holders: Iterable[str]) -> list[str]:
    """Return the holders that ran in this place and whose process is gone.

    A process id may be in use again: in a container that is started anew it is the same every time. Where the start of
    a process cannot be read, such a holder looks alive, and its lease has to run out, as for one in another place.
    """
    return [holder for holder in holders if is_here(holder) and not _runs(*holder.split(".")[:2])]


def is_here(holder: str) -> bool:
    """Say whether a holder's process id means a process of this place."""
    process, _, place = holder.partition("@")
    pid = process.partition(".")[0]
    return pid.isdigit() and process.count(".") == 2 and place == _place()


@cache
def _place() -> str:
    """Return where process ids mean the same as here: the host, and on Linux its boot and the container's namespace."""
    try:
        namespace = Path("/proc/self/ns/pid").readlink().name
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    except OSError:
        return socket.gethostname()
    return f"{socket.gethostname()}/{boot[:8]}/{''.join(filter(str.isdigit, namespace))}"


@cache
def _has_processes() -> bool:
    """Say whether /proc shows the processes of this place, and not those of the host around a container."""
    try:
        return Path("/proc/self").readlink().name == str(os.getpid())
    except OSError:
        return False


def _started(pid: str) -> str | None:
    """Return when a process started, in ticks since the boot; None where that cannot be read."""
    if not _has_processes():
        return None
    try:
        status = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    # The program's name stands before, in parentheses, and may hold anything.
    return status.rpartition(")")[2].split()[_STARTED]


def _runs(pid: str, started: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except OSError:
        # It is somebody else's.
        pass
    now = _started(pid)
    return UNKNOWN in (started, now or UNKNOWN) or now == started
