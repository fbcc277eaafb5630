"""Fingerprints of sources: text that differs if the content does, without secrets."""

from __future__ import annotations

import hashlib
import os
from typing import BinaryIO

#: Bytes at the beginning and at the end of a file that are compared.
_EDGE_BYTES = 64 * 1024


def fingerprint_file(file: BinaryIO) -> str:
    """Return the fingerprint of an open regular file: of its size, its time of change, its beginning and its end.

    The file is left at another position.
    """
    status = os.fstat(file.fileno())
    digest = hashlib.sha256()
    file.seek(0)
    digest.update(file.read(_EDGE_BYTES))
    file.seek(max(0, status.st_size - _EDGE_BYTES))
    digest.update(file.read(_EDGE_BYTES))
    return f"file:{status.st_size}:{status.st_mtime_ns}:{digest.hexdigest()}"


def combine_fingerprints(parts: list[str | None]) -> str | None:
    """Return the fingerprint of several sources that are read as one, None if one of them has none."""
    if len(parts) == 1:
        return parts[0]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    return f"files:{len(parts)}:{hashlib.sha256(chr(10).join(known).encode()).hexdigest()}"
