"""Alerts: what an operator has to know about, one open episode per key."""
