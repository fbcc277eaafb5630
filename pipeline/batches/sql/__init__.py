"""Statements on batches, items, events, attempts and definitions. Functions take an open connection."""
