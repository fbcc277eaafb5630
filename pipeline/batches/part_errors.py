"""Why a part of an upload, or the end of one, is refused."""

from __future__ import annotations

from pipeline.errors import Conflict


class NotAccepting(Conflict):
    """The batch takes no more parts."""

    code = "not_accepting"


class PartDiffers(Conflict):
    """A part of this number is stored, and is another one."""

    code = "part_differs"


class PartInProgress(Conflict):
    """A part is being written by another request."""

    code = "part_in_progress"


class ItemsMismatch(Conflict):
    """There are more or fewer items or parts than the caller expects."""

    code = "items_mismatch"


class PartsMissing(Conflict):
    """Parts are missing.

    Attributes:
        missing: their numbers, the first 100.
    """

    code = "parts_missing"

    def __init__(self, message: str, missing: tuple[int, ...]) -> None:
        super().__init__(message)
        self.missing = missing
