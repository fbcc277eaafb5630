"""What can be tuned about sending."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from pipeline.domain.retry_schedule import Schedule

#: A lease that ends sooner after the deadline is one that a slow record may lose.
LEAST_LEASE_MARGIN = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """Limits of one request.

    Args:
        deadline_seconds: wall clock, from looking up the name to the last byte read.
        connect_seconds: name, connection and TLS together.
        answer_bytes: read of an answer's body, so that its connection can be used again; then it is closed.
        idle_seconds: how long an unused connection is kept.
        connection_seconds: how old a connection may be that is used again.
    """

    deadline_seconds: float = 15.0
    connect_seconds: float = 5.0
    answer_bytes: int = 16_384
    idle_seconds: float = 30.0
    connection_seconds: float = 300.0


@dataclass(frozen=True, slots=True)
class SenderOptions:
    """How much at a time, and how patiently.

    Args:
        client: limits of one request.
        per_endpoint: requests in flight at one endpoint, where `endpoints.in_flight_cap` says nothing else. With 64,
            groups are large enough for cheap SQL (measured: a fifth less CPU than with 32).
        total: requests in flight over all endpoints.
        claim: deliveries taken in one transaction.
        poll_seconds: how late work is found of which nobody told.
        group: answers recorded in one transaction, unless fewer are in flight.
        group_seconds: how long an answer waits at the most to be recorded with others.
        schedule: when a failed delivery is tried again, where neither its endpoint nor its batch names a schedule.
        lease_margin: what a lease outlives the deadline by: time to record, and for clocks to disagree.

    Raises:
        ValueError: leases could end before answers are recorded, so that deliveries would be sent twice.
    """

    client: ClientOptions = field(default_factory=ClientOptions)
    per_endpoint: int = 64
    total: int = 256
    claim: int = 200
    poll_seconds: float = 1.0
    group: int = 64
    group_seconds: float = 0.02
    schedule: Schedule = field(default_factory=Schedule)
    lease_margin: timedelta = timedelta(seconds=30)

    def __post_init__(self) -> None:
        if self.lease_margin < LEAST_LEASE_MARGIN:
            raise ValueError(
                f"lease_margin is {self.lease_margin.total_seconds():g} s; with less than "
                f"{LEAST_LEASE_MARGIN.total_seconds():g} s a delivery could be sent again before its answer is recorded"
            )

    @property
    def lease(self) -> timedelta:
        return timedelta(seconds=self.client.deadline_seconds) + self.lease_margin
