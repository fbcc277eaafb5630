"""The bytes of one file, wherever it is: what each scheme of `url` gives, and all that the readers know of it."""

from __future__ import annotations

import io
from contextlib import AbstractContextManager
from typing import Protocol


class SourceFile(Protocol):
    """One file of a source. It is not open: each `open_*` opens it, and the block that it is used in closes it.

    All methods raise `InvalidInput` if there is no such file or it may not be read, `SourceChanged` if it was replaced
    since it was first opened, and `SourceUnavailable` if the connection is lost and does not come back. Reads from what
    they open raise these, too. Messages name the file by `name`.
    """

    @property
    def name(self) -> str:
        """Its name in messages and in `batches.source`: a path or a URL, without credentials."""

    @property
    def path_name(self) -> str:
        """The last part of its path, by whose suffix the format is known, such as `tickets.csv.gz`; may be empty."""

    @property
    def media_type(self) -> str | None:
        """What the server calls its content, such as `text/csv`; None: unknown. It is known once the file is open."""

    def size(self) -> int | None:
        """Return its size in bytes, None if that is not known, as of a pipe."""

    def fingerprint(self) -> str | None:
        """Return text that differs if the content does, None if that cannot be known; reading then cannot go on.

        It is `kind:` and anything without secrets; see `fingerprint`.
        """

    def open_stream(self, offset: int = 0) -> AbstractContextManager[io.BufferedReader]:
        """Open it to be read once from `offset` to its end.

        Args:
            offset: bytes to leave out; 0 where `can_seek` is False.
        """

    @property
    def can_seek(self) -> bool:
        """Whether it can be opened at an offset, and be read in any order."""

    def open_random(self) -> AbstractContextManager[io.BufferedReader]:
        """Open it to be read in any order: what is returned has `seek`. Only where `can_seek` is True."""
