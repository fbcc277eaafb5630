"""Children of a fork, in which a test does something and from which it hears what came of it."""

from __future__ import annotations

import json
import os
import signal
import traceback
import warnings
from collections.abc import Callable
from typing import Any, NoReturn, Self

#: A child that hangs ends by itself.
SECONDS = 90


class Child:
    """A child of a fork that calls a function, and sends back what it returns."""

    def __init__(self, work: Callable[[], Any]) -> None:
        reading, writing = os.pipe()
        self._pid = fork()
        if not self._pid:
            os.close(reading)
            _run(work, writing)
        os.close(writing)
        self._answer = os.fdopen(reading)

    def result(self) -> Any:
        """Return what the function returned; raise if it raised, or if the child ended otherwise."""
        with self._answer as answer:
            text = answer.read()
        _, status = os.waitpid(self._pid, 0)
        if not text:
            raise RuntimeError(f"the child ended without an answer, with status {status}")
        returned, error = json.loads(text)
        if error is not None:
            raise RuntimeError(error)
        return returned


def in_child(work: Callable[[], Any]) -> Any:
    """Return what a function returns in a child of a fork. What it returns is copied as JSON."""
    return Child(work).result()


class ForkInside:
    """A block that forks in its middle. The child goes on inside the block, and exits at its end.

    `raised` is the name of what the block raised in the child, known after the block.
    """

    def __init__(self) -> None:
        self.raised = ""
        self._is_parent = True
        self._reading, self._writing = os.pipe()

    def fork(self) -> bool:
        """Fork; in the parent, wait until the child has exited. Return whether this is the parent."""
        child = fork()
        self._is_parent = child != 0
        if child:
            os.waitpid(child, 0)
        return self._is_parent

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if not self._is_parent:
            os.write(self._writing, (kind.__name__ if kind else "nothing").encode())
            os._exit(0)
        os.close(self._writing)
        with os.fdopen(self._reading) as answer:
            self.raised = answer.read()


def fork() -> int:
    """Fork beside other threads, of which Python warns from 3.12 on: it is what is tested."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _run(work: Callable[[], Any], writing: int) -> NoReturn:
    try:
        signal.alarm(SECONDS)
        try:
            answer = json.dumps([work(), None])
        except BaseException:
            answer = json.dumps([None, traceback.format_exc()])
        with os.fdopen(writing, "w") as pipe:
            pipe.write(answer)
    finally:
        # Not the end of pytest, whose frames are below.
        os._exit(0)
