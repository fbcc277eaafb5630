"""Statements of exports."""
