"""Transports for kombu that receive, acknowledge and publish many messages at a time."""
