"""The same job on one queue after the other: a module each, run as a program of its own, see `program.py`."""
