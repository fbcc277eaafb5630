"""The limits of the server, in one place. Tests choose others."""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """How long a client may take, and how much it may send and hold.

    Args:
        check_seconds: between two looks at all connections; every other time is accurate to this.
        head_seconds: for the request line and the headers together, and for a connection's first byte.
        keep_alive_seconds: that a connection stays open between requests.
        request_line_bytes: of the path and the query.
        header_count: of one request.
        header_bytes: of all headers of one request.
        body_gap_seconds: between two pieces of a body.
        body_minute_seconds: a window in which a body brings at least `body_minute_bytes`; the first is not judged.
        drop_bytes: of a body that are read and dropped once it is answered, so that the client sees the answer.
        drop_seconds: after which an answered client that still has a body to send is cut off.
        send_seconds: without the client taking a byte of what is sent.
        connections: of a process.
        connections_per_address: of a process; addresses of proxies are exempt.
        refused_connections: beyond the limits that are told so; further ones are cut off without a word.
        pipelined_requests: that wait behind the one that is answered.
    """

    check_seconds: float = 1.0
    head_seconds: float = 10.0
    keep_alive_seconds: float = 5.0
    request_line_bytes: int = 8 * KIB
    header_count: int = 100
    header_bytes: int = 32 * KIB
    body_gap_seconds: float = 30.0
    body_minute_seconds: float = 60.0
    body_minute_bytes: int = 64 * KIB
    drop_bytes: int = 64 * MIB
    drop_seconds: float = 10.0
    send_seconds: float = 20.0
    connections: int = 5_000
    connections_per_address: int = 1_000
    refused_connections: int = 100
    pipelined_requests: int = 100
