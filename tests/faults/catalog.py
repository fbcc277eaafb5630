"""All faults."""

from __future__ import annotations

from tests.faults import of_altered, of_brokers, of_databases, of_receivers, of_workers
from tests.faults.fault import Fault

FAULTS: list[Fault] = [
    *of_workers.fault.all,
    *of_altered.fault.all,
    *of_brokers.fault.all,
    *of_databases.fault.all,
    *of_receivers.fault.all,
]


def faults_of(site: str) -> list[Fault]:
    """Return the faults that can strike a site."""
    return [fault for fault in FAULTS if site in fault.sites]
