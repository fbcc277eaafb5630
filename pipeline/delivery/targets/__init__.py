"""Sends events to message targets: one connection a target, one file a protocol, the answers of webhooks."""
