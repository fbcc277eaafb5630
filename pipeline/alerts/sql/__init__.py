"""Statements about alerts."""
