"""Names for the processes that hold work, from which others can tell that such a process has died."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterable
from functools import cache
from pathlib import Path

#: Stands for the start time of a process where that cannot be read.
UNKNOWN = "0"
#: Index of the start time among the fields of /proc/PID/stat that follow the program's name.
_START_FIELD = 19


def new_holder() -> str:
    """Return a name for this process: `pid.start.nonce@place`."""
    return f"{os.getpid()}.{_start_of('self') or UNKNOWN}.{secrets.token_hex(4)}@{_place()}"


def certainly_dead(holders: Iterable[str]) -> list[str]:
    """Return the holders that ran in this place and whose process no longer exists.

    Process ids are reused: in a container that is restarted, a process gets the same id every time. Where start times
    cannot be read, such a holder looks alive. Its lease has to expire, like the lease of a holder in another place.
    """
    return [holder for holder in holders if is_local(holder) and not _is_running(*holder.split(".")[:2])]


def is_local(holder: str) -> bool:
    """Return whether a holder's process id refers to a process in this place."""
    process, _, place = holder.partition("@")
    pid = process.partition(".")[0]
    return pid.isdigit() and process.count(".") == 2 and place == _place()


@cache
def _place() -> str:
    """Return the scope of process ids: the host, and on Linux its boot and the PID namespace of the container."""
    try:
        namespace = Path("/proc/self/ns/pid").readlink().name
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    except OSError:
        return socket.gethostname()
    return f"{socket.gethostname()}/{boot[:8]}/{''.join(filter(str.isdigit, namespace))}"


@cache
def _shows_processes() -> bool:
    """Return whether /proc shows the processes of this place, and not those of the host around a container."""
    try:
        return Path("/proc/self").readlink().name == str(os.getpid())
    except OSError:
        return False


def _start_of(pid: str) -> str | None:
    """Return when a process started, in ticks since boot; None if that cannot be read."""
    if not _shows_processes():
        return None
    try:
        status = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    # The program's name comes first, in parentheses, and may contain anything.
    return status.rpartition(")")[2].split()[_START_FIELD]


def _is_running(pid: str, start: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except OSError:
        # It belongs to another user.
        pass
    now = _start_of(pid)
    return UNKNOWN in (start, now or UNKNOWN) or now == start
