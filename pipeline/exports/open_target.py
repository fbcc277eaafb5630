"""Open the target of an export, through a connection if it names one. Libraries are imported only then."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.context import Context
from pipeline.domain.export_target import ExportTarget, TargetKind, parse_export_target
from pipeline.exports.targets.folder import Folder

if TYPE_CHECKING:
    from pipeline.exports.targets.part_store import PartStore


def resolve(context: Context, text: str) -> ExportTarget:
    """Return the place that a target means."""
    return parse_export_target(text)


def open_store(context: Context, target: ExportTarget, batch_id: str) -> PartStore:
    """Return the folder of a batch at a target for files."""
    if target.kind is TargetKind.FOLDER:
        return Folder(Path("/") / target.path / batch_id)
    raise NotImplementedError
