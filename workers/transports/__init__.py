"""Transports for kombu that receive, acknowledge and publish in bulk."""
