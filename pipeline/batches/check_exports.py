"""Check the exports of a submission: each is a target that this deployment may write to."""

from __future__ import annotations

import os
from collections.abc import Sequence

from pipeline.context import Context
from pipeline.domain.export_target import check_number, parse_export_target


def check_exports(context: Context, given: Sequence[str]) -> tuple[str, ...]:
    """Return the targets of exports in their normal form.

    Raises:
        InvalidExportTarget: one cannot be used, there are too many, or one comes twice.
    """
    targets = [parse_export_target(each, folder=os.path.realpath(os.curdir)) for each in given]
    check_number(targets)
    return tuple(map(str, targets))
