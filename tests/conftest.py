"""What every test needs: a clean environment, no network but this machine's, and a database where asked for."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

# Before anything of ours is imported: celeryconfig reads the settings then.
for _name in [name for name in os.environ if name.startswith("PIPELINE_")]:
    del os.environ[_name]

from pipeline.storage.engine import Database  # noqa: E402 - see above
from pipeline.storage.schema import upgrade  # noqa: E402


def _refuse_the_network(event: str, args: tuple[Any, ...]) -> None:
    if event not in ("socket.connect", "socket.sendto"):
        return
    address = args[1]
    # Sockets of the file system have a path as address.
    if not isinstance(address, tuple) or address[0] in ("", "localhost"):
        return
    if not ip_address(address[0].partition("%")[0]).is_loopback:
        raise RuntimeError(f"a test reaches for {address[0]}; tests talk to this machine only")


# An audit hook sees every library, whichever function it connects by.
sys.addaudithook(_refuse_the_network)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo what a test before this one left in the environment."""
    for name in [name for name in os.environ if name.startswith("PIPELINE_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def _migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("migrated") / "pipeline.db"
    database = Database(f"sqlite:///{path}")
    upgrade(database)
    database.close()
    return path


@pytest.fixture
def database_url(_migrated: Path, tmp_path: Path) -> str:
    """The URL of an empty SQLite database of the newest version."""
    path = tmp_path / "pipeline.db"
    shutil.copy(_migrated, path)
    return f"sqlite:///{path}"


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An empty SQLite database of the newest version, open."""
    opened = Database(database_url)
    yield opened
    opened.close()
