"""The server that a command uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.cli.run.log_output import configure_logging
from pipeline.client.connect import named_server, refuse_two_stores
from pipeline.client.remote.remote_client import RemoteClient
from pipeline.client.remote.server import Server
from pipeline.errors import InvalidSettings
from pipeline.settings import load as load_settings


@contextmanager
def open_server() -> Iterator[tuple[Server, RemoteClient]]:
    """Return the server that the settings name and a client of it, and close it at the end.

    Raises:
        InvalidSettings: a setting cannot be used, or a database is named as well.
    """
    configure_logging()
    settings = load_settings()
    refuse_two_stores(settings)
    server = named_server(settings)
    with RemoteClient(server) as client:
        yield server, client


def refuse_option(option: str) -> InvalidSettings:
    """Return the error for an option that has no effect with a server."""
    return InvalidSettings(f"{option} works on a database; unset PIPELINE_SERVER_URL, or leave the option out")
