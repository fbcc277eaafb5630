"""A guard: a small process that outlives pytest, however pytest ends, and then ends what pytest has started.

It knows the end of pytest by the end of its own input: the kernel closes that pipe whatever killed the writer. A signal
at the parent's death would not do: Linux sends it when the *thread* that started the child ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections import defaultdict
from pathlib import Path


def descendants(pid: int) -> list[int]:
    """Return a process and all that descend from it, the oldest first; those that only wait to be reaped left out."""
    children = defaultdict(list)
    for child, parent, state in _processes():
        if state != "Z":
            children[parent].append(child)
    found = [pid]
    for each in found:
        found += children[each]
    return found


def signal_all(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process and all that descend from it."""
    for each in descendants(pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(each, number)


def _processes() -> list[tuple[int, int, str]]:
    """Return pid, parent and state of every process."""
    if not Path("/proc/self/stat").exists():
        lines = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, text=True, check=True)
        return [(int(pid), int(parent), state[0]) for pid, parent, state in map(str.split, lines.stdout.splitlines())]
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The name, in parentheses, may hold anything.
            state, parent = path.read_text(errors="replace").rpartition(")")[2].split()[:2]
            found.append((int(path.parent.name), int(parent), state))
    return found


class Guard:
    """Watches over the processes and folders of this process."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            # Isolated and without site: it starts in milliseconds and imports nothing of ours.
            [sys.executable, "-I", "-S", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    def tell(self, **fact: object) -> None:
        """Tell `started=pid`, `ended=pid` or `folder=path`."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(fact).encode() + b"\n")
        self._process.stdin.flush()

    def close(self) -> None:
        """End what is left, and wait until it has ended."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def main() -> None:
    running: set[int] = set()
    folders: list[str] = []
    for line in sys.stdin:
        fact = json.loads(line)
        running |= {fact["started"]} if "started" in fact else set()
        running -= {fact.get("ended")}
        folders += [fact["folder"]] if "folder" in fact else []
    for pid in running:
        # Each of ours leads a session: a number that was given to somebody else since is not ours to end.
        with contextlib.suppress(ProcessLookupError):
            if os.getsid(pid) == pid:
                signal_all(pid, signal.SIGKILL)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
