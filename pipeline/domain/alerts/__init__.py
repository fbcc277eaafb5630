"""Alerts and guards: their settings and states."""
