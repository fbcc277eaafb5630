"""Tell objects that this process is about to fork, and that it has forked.

Python cannot unregister a fork hook, so there is one set of them, and the objects are held weakly.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from weakref import WeakSet

from pipeline.log import get_logger

log = get_logger(__name__)


class ForkAware:
    """Has something to do when the process forks. Takes part from `watch_forks` until it is garbage."""

    def watch_forks(self) -> None:
        """Take part from now on."""
        with _lock:
            _objects.add(self)

    def before_fork(self) -> None:
        """Prepare for a fork, in the thread that forks, while the other threads run."""

    def after_fork_in_parent(self) -> None:
        """Go on as before."""

    def after_fork_in_child(self) -> None:
        """Let go of what belongs to the parent. No other thread exists; locks that others held stay locked.

        The next fork is not this object's concern, unless it calls `watch_forks` again.
        """


#: Reentrant: a signal handler may run while it is held.
_lock = threading.RLock()
_objects: WeakSet[ForkAware] = WeakSet()
#: What a child lets go of. Kept, since a destructor could end what the parent still uses.
_kept: list[object] = []


def keep_from_parent(*objects: object) -> None:
    """Keep objects until the child ends, so that no destructor runs."""
    _kept.extend(objects)


def _before() -> None:
    """Prepare every object. Returns with the lock held, so that the child finds the set whole."""
    prepared: list[ForkAware] = []
    while True:
        _lock.acquire()
        others = [each for each in _objects if not any(each is one for one in prepared)]
        if not others:
            return
        # Not while they are prepared: some wait for threads that may be about to add objects, with locks of imports.
        _lock.release()
        _call(others, ForkAware.before_fork.__name__)
        prepared += others


def _after_in_parent() -> None:
    try:
        _call(list(_objects), ForkAware.after_fork_in_parent.__name__)
    finally:
        _lock.release()


def _after_in_child() -> None:
    global _lock
    # A new one: a server that forks in C may skip the hook before, and another thread may have held it.
    _lock = threading.RLock()
    inherited = list(_objects)
    _objects.clear()
    _call(inherited, ForkAware.after_fork_in_child.__name__)


def _call(objects: Sequence[ForkAware], method: str) -> None:
    for each in objects:
        try:
            getattr(each, method)()
        except Exception:
            # Python itself would only print it, and leave out the others.
            log.exception("fork_hook_failed", hook=f"{type(each).__name__}.{method}")


# Windows has no fork.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
