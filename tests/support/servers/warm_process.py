"""Python programs that start from a server of forks, which has imported what they need.

A command spends a second of CPU on imports before it does anything, and tests start hundreds.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from multiprocessing.process import _children  # type: ignore[attr-defined]
from multiprocessing.reduction import DupFd
from pathlib import Path
from types import ModuleType
from typing import Any, TextIO

#: The server of forks. There is one of a process: whoever forks from it sees the same modules.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.support.servers.preloaded"])

#: What the interpreter reads when it starts, before any program.
_OF_THE_INTERPRETER = ("LANG", "LC_", "PYTHON")
_MODULES = "PYTHONPATH"


def start_python(
    words: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    **options: Any,
) -> subprocess.Popen[Any]:
    """Start `python` with these arguments: `-m MODULE …`, `-c CODE …` or `FILE …`.

    Everything else is as for `subprocess.Popen`. Imports are those of a program that runs for the first time only where
    the environment changes what the interpreter itself does; who tests imports starts a process another way.
    """
    environment = dict(os.environ if env is None else env)
    # `Popen` keeps them as the name of the process.
    command = [sys.executable, *map(str, words)]
    kind = WarmProcess if _can_start_warm(environment) else subprocess.Popen
    return kind(command, env=environment, cwd=cwd, **options)


def run_python(
    words: Sequence[str | Path], *, input: str | bytes | None = None, timeout: float = 60.0, **options: Any
) -> subprocess.CompletedProcess[Any]:
    """Run `python` with these arguments to its end, as `subprocess.run` does; output is captured.

    Raises:
        subprocess.TimeoutExpired: it takes longer than `timeout` seconds; it is killed.
    """
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    streams["stdin"] = subprocess.DEVNULL if input is None else subprocess.PIPE
    with start_python(words, **(streams | options)) as process:
        try:
            stdout, stderr = process.communicate(input, timeout)
        finally:
            process.kill()
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


class _Sent:
    """A descriptor that a fork gets with its arguments.

    A `DupFd` that is made before would be kept here until the fork asks for it: one that is killed first never does,
    and the end of its output would never come.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __reduce__(self) -> tuple[Any, ...]:
        return _received, (DupFd(self._fd),)


def _received(sent: Any) -> int:
    fd: int = sent.detach()
    return fd


class WarmProcess(subprocess.Popen[Any]):
    """A fork that runs a Python program; the server of forks waits for it and says how it ended."""

    def _execute_child(self, args: list[str], *rest: Any) -> None:
        """Start it, as the method of `Popen` does that this one replaces."""
        _, _, _, pass_fds, cwd, env, _, _, _, *pipes, _, _, _, _, _, start_new_session, process_group = rest
        assert not pass_fds, "a fork has the descriptors 0, 1 and 2"
        assert process_group == -1, "a fork can lead a session, and no group"
        p2cread, _, _, c2pwrite, _, errwrite = pipes
        # What is not given is inherited.
        standard = [_Sent(number if fd == -1 else fd) for number, fd in enumerate((p2cread, c2pwrite, errwrite))]
        given = (args[1:], str(cwd or Path.cwd()), dict(env), standard, start_new_session)
        self._forked = FORKS.Process(target=_run, args=given, daemon=True)
        self._forked.start()
        # Else `multiprocessing` looks after it too, maybe in another thread: only one of them hears how it ended.
        _children.discard(self._forked)
        self._child_created = True
        assert self._forked.pid is not None
        self.pid = self._forked.pid
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]

    def _internal_poll(self, *_: Any, **__: Any) -> int | None:
        return self._end(0)

    def _wait(self, timeout: float | None) -> int:
        end = None if timeout is None else time.monotonic() + timeout
        code = self._end(timeout)
        while code is None:
            # Another thread waits as well, and for longer.
            if end is not None and time.monotonic() > end:
                assert timeout is not None
                raise subprocess.TimeoutExpired(self.args, timeout)
            code = self._end(0.05)
        return code

    def _end(self, timeout: float | None) -> int | None:
        """Wait up to `timeout` seconds; return how it ended, or None."""
        if self.returncode is None and self._waitpid_lock.acquire(False):  # type: ignore[attr-defined]
            try:
                self.returncode = self._forked._popen.wait(timeout)  # type: ignore[attr-defined]
            finally:
                self._waitpid_lock.release()  # type: ignore[attr-defined]
        return self.returncode


def _can_start_warm(environment: Mapping[str, str]) -> bool:
    """Say whether the environment has nothing for the interpreter itself, and nothing to import before all else."""
    names = {name for name in (*environment, *os.environ) if name.startswith(_OF_THE_INTERPRETER) and name != _MODULES}
    is_same = all(environment.get(name) == os.environ.get(name) for name in names)
    return is_same and not any((Path(each) / "sitecustomize.py").exists() for each in _import_paths(environment))


def _import_paths(environment: Mapping[str, str]) -> list[str]:
    return [each for each in environment.get(_MODULES, "").split(os.pathsep) if each]


def _run(words: list[str], cwd: str, environment: dict[str, str], standard: list[int], leads: bool) -> None:
    """Become the program: what the interpreter has at its start, what it does, and how it ends."""
    _take_over(cwd, environment, standard, leads)
    try:
        _run_main(words, environment)
    except SystemExit:
        raise
    except KeyboardInterrupt:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        raise SystemExit(1) from None
    finally:
        # As the interpreter does at the end; a child of a fork leaves it out.
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()


def _take_over(cwd: str, environment: dict[str, str], standard: list[int], leads: bool) -> None:
    if leads:
        os.setsid()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    for number, opened in enumerate(standard):
        os.dup2(opened, number)
        os.close(opened)
    # Those of the server know whether its own output can be sought in. Whoever executes itself anew keeps all three.
    sys.stdin = sys.__stdin__ = open(0, closefd=False)  # type: ignore[misc]  # noqa: SIM115
    sys.stdout = sys.__stdout__ = _as_opened(sys.stdout, 1)  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _as_opened(sys.stderr, 2)  # type: ignore[misc]
    # A process beside others of `multiprocessing` may start some itself.
    multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]


def _as_opened(stream: TextIO, number: int) -> TextIO:
    return open(number, "w", 1 if number == 2 else -1, stream.encoding, stream.errors, closefd=False)


def _run_main(words: list[str], environment: dict[str, str]) -> None:
    kind, *rest = words
    sys.path[:0] = ["" if kind in ("-m", "-c") else str(Path(kind).resolve().parent), *_import_paths(environment)]
    if kind == "-m":
        sys.path[0] = os.getcwd()
        sys.argv = rest
        # What `python -m` calls. `run_module` would put the arguments back, with which a worker executes itself anew.
        runpy._run_module_as_main(rest[0])  # type: ignore[attr-defined]
        return
    sys.argv = words if kind != "-c" else ["-c", *rest[1:]]
    code = rest[0] if kind == "-c" else Path(kind).read_text(encoding="utf-8")
    main = sys.modules["__main__"] = ModuleType("__main__")
    if kind != "-c":
        main.__file__ = kind
    exec(compile(code, "<string>" if kind == "-c" else kind, "exec"), vars(main))
