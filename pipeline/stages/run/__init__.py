"""Runs a stage on many items, in threads or on the event loop, and emits results as they finish."""
