"""Telemetry: what a process counts about its work, and the page on which Prometheus reads it."""
