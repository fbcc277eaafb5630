"""What commands work on: a database, or a server where PIPELINE_SERVER_URL names one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.cli.backends.backend import Backend
from pipeline.cli.program import SERVER_URL

__all__ = ["Backend", "open_backend"]


@contextmanager
def open_backend(*, may_create: bool = False) -> Iterator[Backend]:
    """Return the server that the environment names, or else the database, and close it at the end.

    Args:
        may_create: create a SQLite file that does not exist; commands that only read must not.

    Raises:
        NotFound: the SQLite file does not exist.
        InvalidSettings, Unreachable, WrongSchema
    """
    # Each imports much that the other does without.
    if os.environ.get(SERVER_URL):
        from pipeline.cli.backends.server import ServerBackend
        from pipeline.cli.remote.session import open_server

        with open_server() as (server, client):
            yield ServerBackend(server, client)
        return
    from pipeline.cli.backends.database import DatabaseBackend
    from pipeline.cli.run.session import open_context

    with open_context(may_create=may_create) as context:
        yield DatabaseBackend(context)
