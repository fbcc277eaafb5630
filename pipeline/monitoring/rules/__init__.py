"""Decisions of monitoring."""
