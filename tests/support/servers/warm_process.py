"""Python programs that start from a server of forks, which has imported the packages that they need.

A worker spends a second of CPU on imports before it does anything, and tests start hundreds. What is ours is still
imported by each process itself, after its environment is set.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

#: What a worker imports of others, on any broker and database.
_PACKAGES = [
    "alembic.command",
    "amqp",
    "celery.apps.beat",
    "celery.apps.worker",
    "celery.bin.celery",
    "celery.concurrency.prefork",
    "celery.concurrency.thread",
    "celery.worker.consumer",
    "cryptography.hazmat.primitives.asymmetric.ed25519",
    "cryptography.hazmat.primitives.ciphers.aead",
    "httptools",
    "kombu.transport.pyamqp",
    "kombu.transport.redis",
    "orjson",
    "psycopg",
    "pydantic_settings",
    "rich.console",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite",
]
#: Senders fork from the same server.
PRELOADED = [*_PACKAGES, "tests.support.receivers.process"]


def can_start_warm(environment: Mapping[str, str]) -> bool:
    """Say whether nothing in the environment is to be imported before everything else."""
    return not any((Path(each) / "sitecustomize.py").exists() for each in _import_paths(environment))


class WarmProcess:
    """Runs `python -m MODULE ARGUMENTS`, and is used as `subprocess.Popen` is. It leads a session.

    Args:
        words: the module and its arguments.
        log: file that its output is added to.
        errors: file that its standard error is added to; default: `log`.
    """

    def __init__(
        self,
        words: Sequence[str],
        *,
        cwd: Path,
        environment: Mapping[str, str],
        log: Path,
        errors: Path | None = None,
    ) -> None:
        forks = multiprocessing.get_context("forkserver")
        forks.set_forkserver_preload(PRELOADED)
        arguments = (list(words), str(cwd), dict(environment), [os.devnull, str(log), str(errors or log)])
        # Ended with pytest: what is not would be waited for.
        self._process = forks.Process(target=_run, args=arguments, daemon=True)
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        """Return how it ended; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it ends, and return how.

        Raises:
            subprocess.TimeoutExpired: it has not after `timeout` seconds.
        """
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(self._process.name, timeout)
        return code

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)


def run_warm(
    words: Sequence[str], *, cwd: Path, environment: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """Run `python -m` with these words to its end, as `subprocess.run` does.

    Raises:
        subprocess.TimeoutExpired: it takes longer than `timeout` seconds; it is killed.
    """
    with tempfile.TemporaryDirectory() as folder:
        output, errors = Path(folder, "output"), Path(folder, "errors")
        process = WarmProcess(words, cwd=cwd, environment=environment, log=output, errors=errors)
        try:
            code = process.wait(timeout)
        finally:
            process.send_signal(signal.SIGKILL)
        texts = (path.read_text(encoding="utf-8") for path in (output, errors))
        return subprocess.CompletedProcess(list(words), code, *texts)


def _run(words: list[str], cwd: str, environment: dict[str, str], files: list[str]) -> None:
    os.setsid()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    for descriptor, path in enumerate(files):
        opened = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
        os.dup2(opened, descriptor)
        os.close(opened)
    # It was closed; a worker that executes itself anew keeps the three standard streams.
    sys.stdin = sys.__stdin__ = open(0, closefd=False)  # type: ignore[misc]  # noqa: SIM115
    sys.path[:0] = [cwd, *_import_paths(environment)]
    sys.argv = words
    try:
        # What `python -m` calls. `run_module` would put the arguments back, with which a worker executes itself anew.
        runpy._run_module_as_main(words[0])  # type: ignore[attr-defined]
    finally:
        # As the interpreter does at the end; a child of a fork leaves it out.
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()


def _import_paths(environment: Mapping[str, str]) -> list[str]:
    return [each for each in environment.get("PYTHONPATH", "").split(os.pathsep) if each]
