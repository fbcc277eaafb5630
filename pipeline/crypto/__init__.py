"""Webhook signatures, secrets, and encryption at rest."""
