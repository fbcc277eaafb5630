"""Run one contestant: by its module's name, so that its tasks are called the same in every process."""

import sys
from importlib import import_module

from benchmarks.contestants.program import run

run(import_module(f"benchmarks.contestants.{sys.argv[1]}").contestant, sys.argv[2])
