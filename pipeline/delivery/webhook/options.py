"""What can be tuned about sending callbacks."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from pipeline.domain.retry_schedule import Schedule

#: With less, a lease could expire while a slow database still records the response.
LEAST_LEASE_MARGIN = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """Limits of one request.

    Args:
        deadline_seconds: wall clock time from the name lookup to the last byte read.
        connect_seconds: for name lookup, TCP and TLS together.
        answer_bytes: bytes of a response's body that are read. Its connection is reused only if the body ends by then.
        idle_seconds: how long an unused connection is kept.
        connection_seconds: the age after which a connection is not used again.
    """

    deadline_seconds: float = 15.0
    connect_seconds: float = 5.0
    answer_bytes: int = 16_384
    idle_seconds: float = 30.0
    connection_seconds: float = 300.0


@dataclass(frozen=True, slots=True)
class SenderOptions:
    """How much the sender does at a time, and how often it tries.

    Args:
        client: limits of one request.
        per_endpoint: requests in flight to one endpoint, unless `endpoints.in_flight_cap` says otherwise. With 64,
            groups are large enough for cheap SQL (measured: a fifth less CPU than with 32).
        per_target: messages in flight to one message target, unless configured: brokers acknowledge them together.
        total: requests in flight to all endpoints together.
        claim: deliveries claimed in one transaction.
        poll_seconds: how late due work is found when no one wakes the sender.
        group: responses recorded in one transaction, unless fewer are in flight.
        group_seconds: the longest that a response waits to be recorded with others.
        schedule: when a failed delivery is retried, unless its endpoint or its batch names a schedule.
        lease_margin: how long a lease outlives the deadline, to allow for recording and for clocks that disagree.

    Raises:
        ValueError: leases could expire before responses are recorded, so that deliveries would be sent twice.
    """

    client: ClientOptions = field(default_factory=ClientOptions)
    per_endpoint: int = 64
    per_target: int = 256
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
