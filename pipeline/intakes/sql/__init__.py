"""Statements of intakes."""
