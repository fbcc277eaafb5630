"""Tenants: groups of users of the HTTP API who see nothing of one another."""

from __future__ import annotations

#: The tenant of everything that is submitted without an API key.
DEFAULT_TENANT = "default"
#: The tenant of operators' keys, which see everything.
ALL_TENANTS = "*"
