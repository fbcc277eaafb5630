"""Statements on guards."""
