"""What sources have in common whose messages are acknowledged one by one: they have no partitions and no offsets."""

from __future__ import annotations

from typing import NoReturn


class AcknowledgedSource:
    """Knows its messages by ids instead of positions; several processes may share it."""

    is_exclusive = False
    is_drained = True
    unplaced: tuple[str, ...] = ()

    def ends(self) -> dict[str, str]:
        """Return nothing: there are no partitions."""
        return {}

    def earliest(self, partition: str) -> NoReturn:
        """Raise `LookupError`: there is no partition that somebody could ask for."""
        raise LookupError(f"a source without partitions has no partition {partition!r}")

    def seek(self, partition: str, offset: str) -> NoReturn:
        """Raise `LookupError`: see `earliest`."""
        raise LookupError(f"a source without partitions has no partition {partition!r}")
