"""Measurements: each module starts its own servers, prints its figures, and ends everything it started."""
