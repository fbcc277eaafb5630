"""Check the exports of a submission: each is a target that this deployment may write to."""

from __future__ import annotations

import os
from collections.abc import Sequence

from pipeline.context import Context
from pipeline.domain.export_target import (
    ExportTarget,
    InvalidExportTarget,
    TargetKind,
    check_number,
    parse_export_target,
)
from pipeline.errors import escape_braces


def check_exports(context: Context, given: Sequence[str], *, is_local: bool) -> tuple[str, ...]:
    """Return the targets of exports in their normal form.

    Args:
        is_local: whether a program on the database submits them; over HTTP, nobody may name a folder of the server.

    Raises:
        InvalidExportTarget: one cannot be used, there are too many, or one comes twice.
    """
    targets = [parse_export_target(each, folder=os.path.realpath(os.curdir)) for each in given]
    check_number(targets)
    for target in targets:
        _check_allowed(context, target, is_local=is_local)
    return tuple(map(str, targets))


def _check_allowed(context: Context, target: ExportTarget, *, is_local: bool) -> None:
    if target.kind is TargetKind.FOLDER and not is_local:
        raise InvalidExportTarget(
            f"{{0}}: {escape_braces(target.location)} is a folder of the server; name a connection: conn://NAME/…",
            "exports",
        )
