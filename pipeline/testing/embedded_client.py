"""A client that works in the test's process, on a database that is thrown away."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Unpack

from pipeline.client.async_client import AsyncClient
from pipeline.client.client import Client
from pipeline.client.connect import SettingOverrides, connect
from pipeline.hooks import Hook
from pipeline.settings import EMBEDDED_BROKER_URL
from pipeline.testing.sign_webhook import TEST_SECRET

_LOOPBACK = "127.0.0.0/8,::1/128"


@contextmanager
def embedded(
    folder: str | Path,
    *,
    definitions: str | Path | None = None,
    hooks: Sequence[Hook] = (),
    **overrides: Unpack[SettingOverrides],
) -> Iterator[Client]:
    """Open a client on a new SQLite database in `folder`, with its workers in this process.

    The client does real work: real workers, a real database, real callbacks. It ignores `PIPELINE_DATABASE_URL` and
    `PIPELINE_BROKER_URL`, signs with `TEST_SECRET`, and may call receivers on this machine. At the end, callbacks that
    are still owed are not waited for.

    Args:
        folder: Where the database goes, such as pytest's `tmp_path`.
        definitions: Folder in which definitions are found by name.
        hooks: Called in the transaction in which items and batches become final.
        overrides: Further settings; see `SettingOverrides`.
    """
    client = connect(
        database_url=_database_url(folder),
        broker_url=EMBEDDED_BROKER_URL,
        definitions=definitions,
        hooks=hooks,
        **_with_defaults(overrides),
    )
    try:
        yield client
    finally:
        client.close(deliver=False)


@asynccontextmanager
async def embedded_async(
    folder: str | Path,
    *,
    definitions: str | Path | None = None,
    hooks: Sequence[Hook] = (),
    **overrides: Unpack[SettingOverrides],
) -> AsyncIterator[AsyncClient]:
    """Open an asynchronous client on a new SQLite database in `folder`; see `embedded`."""
    client = AsyncClient(
        database_url=_database_url(folder),
        broker_url=EMBEDDED_BROKER_URL,
        definitions=definitions,
        hooks=hooks,
        **_with_defaults(overrides),
    )
    try:
        yield client
    finally:
        await client.close(deliver=False)


def _database_url(folder: str | Path) -> str:
    return f"sqlite:///{Path(folder).absolute() / 'pipeline.db'}"


def _with_defaults(overrides: SettingOverrides) -> SettingOverrides:
    return {"webhook_secret": TEST_SECRET, "allow_private_callbacks": _LOOPBACK, **overrides}
