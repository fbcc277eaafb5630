"""The Python API: `connect()`, and the objects it returns."""
