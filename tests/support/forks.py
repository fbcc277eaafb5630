"""Children of a fork, in which a test does something and from which it hears what came of it."""

from __future__ import annotations

import json
import os
import signal
import traceback
import warnings
from collections.abc import Callable
from typing import Any, NoReturn

#: A child that hangs ends by itself.
SECONDS = 90


class Child:
    """A child of a fork that calls a function, and sends back what it returns."""

    def __init__(self, work: Callable[[], Any]) -> None:
        reading, writing = os.pipe()
        with warnings.catch_warnings():
            # From Python 3.12 on, a fork beside threads is warned of: it is what is tested.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._pid = os.fork()
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
