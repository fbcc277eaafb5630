"""Reads workbooks of Excel."""
