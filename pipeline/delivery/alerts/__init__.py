"""Alerts on their way: which channels are owed them, and the clients of the channels."""
