"""Reads text: tables, JSON Lines and JSON arrays, in any encoding."""
