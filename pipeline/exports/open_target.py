"""Open the target of an export, through a connection if it names one. Libraries are imported only then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from pipeline.connections.connection import ConnectionUse, NamedConnections, join_rest
from pipeline.connections.export_targets import check_allowed
from pipeline.context import Context
from pipeline.domain.urls.export_target import ExportTarget, TargetKind, parse_export_target
from pipeline.exports.targets.folder import Folder

if TYPE_CHECKING:
    from pipeline.exports.targets.part_store import PartStore


@dataclass(frozen=True, slots=True)
class OpenedTarget:
    """Where a target leads, for the code that opens a socket or a file. Keep it out of rows, messages and logs.

    Args:
        target: without `conn://`.
        shown: the location that people may see.
        options: of the connection, secrets included.
    """

    target: ExportTarget
    shown: str
    options: Mapping[str, str] = field(repr=False)


def open_target(context: Context, text: str) -> OpenedTarget:
    """Return where a target leads.

    Raises:
        NotFound, InvalidSettings: its connection is gone, is not for exports, or lacks a variable.
        InvalidExportTarget: it leads where exports may not go.
    """
    given = parse_export_target(text)
    check_allowed(given, context.settings.allow_targets)
    if given.kind is not TargetKind.CONNECTION:
        return OpenedTarget(given, given.location, {})
    opened = context.connections.get(given.host, ConnectionUse.EXPORTS).open(quote(given.path))
    return OpenedTarget(given.at(opened.url), given.location, opened.options)


def locate(connections: NamedConnections, given: ExportTarget) -> ExportTarget:
    """Return a target without `conn://`, for people who run commands of their own there.

    Raises:
        NotFound, InvalidSettings, InvalidExportTarget: as for `open_target`.
    """
    if given.kind is not TargetKind.CONNECTION:
        return given
    found = connections.get(given.host, ConnectionUse.EXPORTS)
    return given.at(join_rest(found.url, quote(given.path)))


def open_store(opened: OpenedTarget, batch_id: str) -> PartStore:
    """Return the folder of a batch at a target for files.

    Raises:
        InvalidInput: the library is not installed, or the options of the connection cannot be used.
    """
    target = opened.target
    shown = f"{opened.shown.removesuffix('/')}/{batch_id}/"
    if target.kind is TargetKind.FOLDER:
        return Folder(Path("/") / target.path / batch_id, shown)
    from pipeline.objects.open_store import open_store as open_objects

    store = open_objects(target.scheme, target.host, opened.options, largest=target.options.bytes)
    from pipeline.exports.targets.object_store import ObjectFolder

    return ObjectFolder(store, f"{target.path}{batch_id}/", shown)
