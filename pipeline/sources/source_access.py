"""What a source may reach, as decided by who asks for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.connections.connection import NamedConnection
from pipeline.domain.ip_ranges import Network
from pipeline.errors import InvalidInput


def _refuse_connection(name: str) -> NamedConnection:
    raise InvalidInput(f"conn://{name} cannot be read here")


@dataclass(frozen=True, slots=True)
class SourceAccess:
    """What a source may reach.

    Args:
        is_local_user: whether the user of this machine asks, as on the command line, who can reach every address
            anyway. Otherwise only public addresses are reached, and files of this machine are refused.
        allow: networks that may be reached although they are private.
        find_connection: returns the connection of a name, if it is for sources.
    """

    is_local_user: bool = True
    allow: tuple[Network, ...] = ()
    find_connection: Callable[[str], NamedConnection] = _refuse_connection
