"""A server for the tests of a module. Databases and keys are shared by them: a test looks at what it made itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.factories import connect
from tests.support.gateway import ServedApi, serving


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the database and the definitions of a module's tests are."""
    return tmp_path_factory.mktemp("http-api")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def module_database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an empty database for the tests of a module, which run once on each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('database') / 'pipeline.db'}"
        return
    postgres = request.getfixturevalue("postgres")
    url = postgres.database()
    yield url
    postgres.give_back(url)


@pytest.fixture(scope="module")
def api(folder: Path) -> Iterator[ServedApi]:
    """A server on SQLite whose process works on what is submitted; no key exists unless a test creates one."""
    with connect(folder) as client, serving(client) as served:
        yield served
