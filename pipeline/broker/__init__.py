"""Publishes Celery messages: the only part of the library that talks to the broker."""
