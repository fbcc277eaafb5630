"""Publishes Celery messages: the one part of the library that talks to the broker."""
