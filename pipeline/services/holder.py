"""Names of processes that hold work, and which of them are certainly gone."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterable


def new_holder() -> str:
    """Return a name for this process: `pid.nonce@host`."""
    return f"{os.getpid()}.{secrets.token_hex(4)}@{socket.gethostname()}"


def certainly_dead(holders: Iterable[str]) -> list[str]:
    """Return the holders that ran on this host and whose process is gone.

    A process id that is in use again makes a dead holder look alive: then its lease has to run out, as for a holder on
    another host.
    """
    return [holder for holder in holders if _is_here(holder) and not _runs(int(holder.partition(".")[0]))]


def _is_here(holder: str) -> bool:
    pid, _, rest = holder.partition(".")
    return pid.isdigit() and rest.endswith(f"@{socket.gethostname()}")


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
