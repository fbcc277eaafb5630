"""Alerts: what went wrong, from when until when, and whom to tell."""
