"""A dispatcher that does not ask whether it may: there are two of them at once."""

from __future__ import annotations

from typing import Any

from pipeline.execution.dispatch import Dispatcher
from tests.faults.altered.switch import is_on


def alter() -> None:
    true_take = Dispatcher._take_lease

    def take(self: Dispatcher, *arguments: Any) -> bool:
        return is_on("two_dispatchers") or true_take(self, *arguments)

    Dispatcher._take_lease = take  # type: ignore[method-assign]
