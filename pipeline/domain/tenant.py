"""Tenants: groups of users of the HTTP API who see nothing of one another."""

from __future__ import annotations

import string

from pipeline.domain.bounds import invalid

#: The tenant of everything that is submitted without an API key.
DEFAULT_TENANT = "default"
#: The tenant of operators' keys, which see everything.
ALL_TENANTS = "*"
_CHARACTERS = frozenset(string.ascii_letters + string.digits + "._-")
_MAX_LENGTH = 100


def check_tenant(name: str) -> str:
    """Return the name of a tenant if it can be one.

    Raises:
        InvalidArgument: it cannot.
    """
    if name == ALL_TENANTS or (0 < len(name) <= _MAX_LENGTH and _CHARACTERS.issuperset(name)):
        return name
    raise invalid("tenant", name, f"1 to {_MAX_LENGTH} letters, digits, '.', '_' or '-', or {ALL_TENANTS} for all")
