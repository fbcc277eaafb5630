"""Names of processes that hold work, and which of them are certainly gone."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterable
from functools import cache
from pathlib import Path


def new_holder() -> str:
    """Return a name for this process: `pid.nonce@place`."""
    return f"{os.getpid()}.{secrets.token_hex(4)}@{_place()}"


def certainly_dead(holders: Iterable[str]) -> list[str]:
    """Return the holders that ran in this place and whose process is gone.

    A process id that is in use again makes a dead holder look alive: then its lease has to run out, as for a holder in
    another place.
    """
    return [holder for holder in holders if is_here(holder) and not _runs(int(holder.partition(".")[0]))]


@cache
def _place() -> str:
    """Return where process ids mean the same as here: the host, and on Linux the namespace of a container."""
    try:
        namespace = Path("/proc/self/ns/pid").readlink().name
    except OSError:
        return socket.gethostname()
    return f"{socket.gethostname()}/{''.join(filter(str.isdigit, namespace))}"


def is_here(holder: str) -> bool:
    """Say whether a holder's process id means a process of this place."""
    pid, _, rest = holder.partition(".")
    return pid.isdigit() and rest.partition("@")[2] == _place()


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
