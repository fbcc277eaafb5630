"""What a source may reach, as decided by who asks for it."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.domain.ip_ranges import Network


@dataclass(frozen=True, slots=True)
class SourceAccess:
    """What a source may reach.

    Args:
        is_local_user: whether the user of this machine asks, as on the command line, who can reach every address
            anyway. Otherwise only public addresses are reached, and files of this machine are refused.
        allow: networks that may be reached although they are private.
    """

    is_local_user: bool = True
    allow: tuple[Network, ...] = ()
