"""A dispatcher that does not ask whether it may: there are two at once; and one that dies before it has published."""

from __future__ import annotations

import os
import signal
from typing import Any

from pipeline.execution.dispatch import Dispatcher
from tests.faults.altered.switch import is_on, is_set


def alter() -> None:
    true_take, true_check = Dispatcher._take_lease, Dispatcher._without_recalled

    def take(self: Dispatcher, *arguments: Any) -> bool:
        # One that is to die has to dispatch for that, also beside another.
        return is_on("two_dispatchers") or is_set("dispatcher_dies") or true_take(self, *arguments)

    def die_or_check(self: Dispatcher, messages: Any) -> Any:
        if is_on("dispatcher_dies"):
            # The release is committed.
            os.kill(os.getpid(), signal.SIGKILL)
        return true_check(self, messages)

    Dispatcher._take_lease = take  # type: ignore[method-assign]
    Dispatcher._without_recalled = die_or_check  # type: ignore[method-assign]
