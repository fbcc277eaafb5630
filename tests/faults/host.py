"""A program that embeds pipeline: it works on whatever is in its database until it is stopped."""

from __future__ import annotations

import signal
import sys
from types import FrameType

import pipeline
from workers.logs import configure


class _Stopped(Exception):
    """SIGTERM."""


def main() -> None:
    configure("INFO")
    signal.signal(signal.SIGTERM, _stop)
    try:
        with pipeline.connect() as client:
            client.work()
            print(f"host {sys.argv[1:]} ready.", file=sys.stderr, flush=True)
            while True:
                signal.pause()
    except _Stopped:
        pass


def _stop(number: int, frame: FrameType | None) -> None:
    raise _Stopped


if __name__ == "__main__":
    main()
