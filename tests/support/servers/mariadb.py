"""MariaDB of the tests' own, for what reads from MySQL."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from pathlib import Path

import pymysql

from tests.support.servers.server import NotAvailable, Server, StartFailed, as_user

_USER = "pipeline"
_PASSWORD = "a password"


class MariaDB(Server):
    """A server with one empty database, and a user who may do anything."""

    name = "mariadb"
    refusal = pymysql.MySQLError

    def __init__(self) -> None:
        self._binary, self._install = find("mariadbd", "mysqld"), find("mariadb-install-db", "mysql_install_db")
        super().__init__()
        # It refuses to run as root.
        self._user = _ordinary_user() if os.geteuid() == 0 else None
        if self._user is not None:
            account = pwd.getpwnam(self._user)
            os.chown(self.folder, account.pw_uid, account.pw_gid)
        self._socket = self.folder / "socket"

    @property
    def url(self) -> str:
        """Where it is reached, without the credentials, which are in `options_file`."""
        return f"mysql://127.0.0.1:{self.port}/test"

    @property
    def options_file(self) -> Path:
        """A file like ~/.my.cnf."""
        path = self.folder / "client.cnf"
        path.write_text(f"[client]\nuser = {_USER}\npassword = {_PASSWORD}\n")
        return path

    def connect(self) -> pymysql.Connection[pymysql.cursors.Cursor]:
        """Return a connection, which the caller closes."""
        return pymysql.connect(
            host="127.0.0.1", port=self.port, user=_USER, password=_PASSWORD, database="test", autocommit=True
        )

    def run(self, *statements: str) -> None:
        """Execute statements."""
        with self.connect() as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def kill_others(self) -> int:
        """End all connections but the one that asks for it, as an administrator may. Return how many there were."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT id FROM information_schema.processlist WHERE id != connection_id() AND user = 'pipeline'"
            )
            ids = [row[0] for row in cursor.fetchall()]
            for each in ids:
                cursor.execute(f"KILL {each}")
        return len(ids)

    def _launch(self) -> None:
        data = self.folder / "data"
        if not data.exists():
            self._initialise(data)
        options = {
            "datadir": data,
            "bind-address": "127.0.0.1",
            "port": self.port,
            "socket": self._socket,
            "pid-file": self.folder / "pid",
            "innodb-flush-log-at-trx-commit": 0,
            "innodb-buffer-pool-size": "32M",
            "init-file": self.folder / "init.sql",
        }
        arguments = [f"--{name}={value}" for name, value in options.items()]
        self._spawn([self._binary, "--no-defaults", *arguments], user=self._user)

    def _probe(self) -> None:
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT @@datadir")
            found = cursor.fetchone()
        if found is None or Path(found[0]) != self.folder / "data":
            raise OSError(f"another server answers at port {self.port}")

    def _initialise(self, data: Path) -> None:
        (self.folder / "init.sql").write_text(
            "CREATE DATABASE IF NOT EXISTS test CHARACTER SET utf8mb4;\n"
            f"CREATE USER IF NOT EXISTS '{_USER}'@'127.0.0.1' IDENTIFIED BY '{_PASSWORD}';\n"
            f"GRANT ALL PRIVILEGES ON *.* TO '{_USER}'@'127.0.0.1';\n"
        )
        command = [
            self._install,
            "--no-defaults",
            f"--datadir={data}",
            # Two that run at once delete each other's tables in a shared one.
            f"--tmpdir={self.folder}",
            "--skip-test-db",
            "--auth-root-authentication-method=normal",
        ]
        made = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, **as_user(self._user))
        if made.returncode != 0:
            raise StartFailed(f"{self._install.name} failed:\n{made.stdout}{made.stderr}")


def find(*names: str) -> Path:
    """Return a program on PATH or in /usr/sbin.

    Raises:
        NotAvailable: nowhere.
    """
    path = f"{os.environ.get('PATH', '')}:/usr/sbin"
    found = next(filter(None, (shutil.which(name, path=path) for name in names)), None)
    if found is None:
        raise NotAvailable(f"no `{names[0]}` on PATH")
    return Path(found)


def _ordinary_user() -> str:
    known = {account.pw_name for account in pwd.getpwall()}
    return next(name for name in ("mysql", "nobody") if name in known)
