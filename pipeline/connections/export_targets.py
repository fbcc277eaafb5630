"""Which targets of exports this deployment may write to, with a connection or without."""

from __future__ import annotations

import os
from collections.abc import Sequence

from pipeline.connections.connection import ConnectionUse, NamedConnections
from pipeline.domain.urls.allowed_targets import is_target_allowed
from pipeline.domain.urls.export_target import (
    ExportTarget,
    InvalidExportTarget,
    TargetKind,
    check_number,
    kind_of_scheme,
    parse_export_target,
)
from pipeline.errors import escape_braces


def check_exports(
    given: Sequence[str], connections: NamedConnections, allowed: Sequence[str], *, tenant: str, is_local: bool
) -> tuple[str, ...]:
    """Return the targets of exports in their normal form.

    Args:
        allowed: patterns of places that need no connection (`PIPELINE_ALLOW_TARGETS`).
        tenant: whose batch it is; it may use its own connections only.
        is_local: whether a program on the database submits them; over HTTP, nobody may name a folder of the server.

    Raises:
        InvalidExportTarget: one cannot be used, there are too many, or one comes twice.
        NotFound: there is no such connection for the tenant.
        InvalidSettings: the connection is not for exports.
    """
    targets = [parse_export_target(each, folder=os.path.realpath(os.curdir)) for each in given]
    check_number(targets)
    for target in targets:
        if target.kind is TargetKind.FOLDER and not is_local:
            raise _forbidden(f"{target.location} is a folder of the server; name a connection: conn://NAME/…")
        if target.kind is TargetKind.CONNECTION:
            connections.get(target.host, ConnectionUse.EXPORTS, tenant=tenant)
        target.check_kind(find_kind(target, connections))
        check_allowed(target, allowed)
    return tuple(map(str, targets))


def find_kind(target: ExportTarget, connections: NamedConnections) -> TargetKind:
    """Return the kind of place that a target means, if need be by its connection.

    Raises:
        NotFound: there is no such connection.
        InvalidSettings: the connection is not for exports.
        InvalidExportTarget: the connection leads to no place for exports.
    """
    if target.kind is not TargetKind.CONNECTION:
        return target.kind
    scheme = connections.get(target.host, ConnectionUse.EXPORTS).scheme
    kind = kind_of_scheme(scheme)
    if kind is None:
        raise _forbidden(f"connection {target.host!r} is {scheme}://, where no exports go")
    return kind


def check_allowed(target: ExportTarget, allowed: Sequence[str]) -> None:
    """Raise `InvalidExportTarget` if a target that names no connection leads somewhere it may not."""
    if target.kind in (TargetKind.CONNECTION, TargetKind.FOLDER):
        return
    is_table = target.kind is TargetKind.TABLE
    place = target.host.partition(":")[0] if is_table else target.host
    if not is_target_allowed(target.scheme, place, allowed):
        what = f"host {place!r}" if is_table else f"{target.scheme}:{place}"
        raise _forbidden(
            f"{what} is not allowed for exports; name it in PIPELINE_ALLOW_TARGETS, or use a connection: conn://NAME/…"
        )


def _forbidden(problem: str) -> InvalidExportTarget:
    return InvalidExportTarget("{0}: " + escape_braces(problem), "exports")
