"""The collector of a worker."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import gc, weakref
from workers.garbage_collector import YOUNGEST, calm

class Knot:
    def __init__(self):
        self.itself = self

calm()
known = weakref.ref(Knot())
kept = [[] for _ in range(2 * YOUNGEST)]
assert gc.get_freeze_count() > 0
assert known() is None, "a cycle that came to be afterwards is never found"
"""


def test_cycles_are_still_found_once_the_collector_is_calm() -> None:
    subprocess.run([sys.executable, "-c", PROGRAM], check=True)
