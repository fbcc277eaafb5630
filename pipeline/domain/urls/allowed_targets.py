"""Which hosts and stores message targets and exports may name without a connection: PIPELINE_ALLOW_TARGETS."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_/*:")


def check_target_pattern(text: str) -> str:
    """Return a pattern: a host such as `*.mq.internal`, or `scheme:place`, such as `s3:acme-*`.

    Raises:
        ValueError: it is none.
    """
    if not text or not _CHARACTERS.issuperset(text) or "://" in text or text.startswith(":") or text.endswith(":"):
        raise ValueError(
            f"{text!r} is no host or pattern; write localhost, *.mq.internal, or s3:acme-* for stores and queues"
        )
    return text


def is_target_allowed(scheme: str, place: str, patterns: Sequence[str]) -> bool:
    """Return whether a target or an export may name this place without a connection.

    Args:
        scheme: of the URL, such as `amqps` or `s3`.
        place: a host without its port, the bucket of a store, or what stands behind `sqs://`.
        patterns: as `check_target_pattern` returns them; `*` stands for any characters. One without a scheme is for
            hosts, and so for no store and no queue of a cloud.
    """
    for pattern in patterns:
        only, colon, rest = pattern.partition(":")
        # An IPv6 address has colons, too, and no pattern: hosts are names or IPv4 addresses, or `scheme:*`.
        if colon and only == scheme and fnmatchcase(place, rest):
            return True
        if not colon and scheme not in _STORES and fnmatchcase(place.lower(), pattern.lower()):
            return True
    return False


#: Schemes of accounts in clouds, where what is named is not a host.
_STORES = frozenset({"s3", "gs", "az", "sqs"})
