"""Read by Python itself before anything else, in the one worker whose PYTHONPATH names this folder: it goes wrong.

What goes wrong is switched by files, see `switch`; with none of them, the worker is as any other.
"""

from __future__ import annotations

from tests.faults.altered import clock, commits, dispatching, publishing

clock.alter()
commits.alter()
dispatching.alter()
publishing.alter()
