"""Decisions about alerts, without input or output."""
