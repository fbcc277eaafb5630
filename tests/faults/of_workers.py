"""What happens to worker processes: they are killed, hang, are stopped, and are wrong about the time."""

from __future__ import annotations

from random import Random

from tests.faults.fault import Faults, every, last
from tests.faults.site import RABBITMQ, REDIS, Site

fault = Faults("workers")


@fault(seconds=4, longest=20)
def workers_are_killed_every_two_seconds(site: Site, random: Random, seconds: float) -> None:
    for _ in every(2, seconds):
        site.kill(random.choice(site.workers))


@fault(seconds=0.5, longest=5)
def all_workers_are_killed_at_once(site: Site, random: Random, seconds: float) -> None:
    site.kill(*site.workers)
    last(seconds)


@fault(seconds=5, longest=20)
def a_worker_hangs_and_goes_on(site: Site, random: Random, seconds: float) -> None:
    with site.suspended(random.choice(site.workers)):
        last(seconds)


@fault(seconds=0.5, longest=5)
def a_worker_is_stopped_in_good_order(site: Site, random: Random, seconds: float) -> None:
    site.stop(random.choice(site.workers))
    last(seconds)


@fault(REDIS, RABBITMQ, seconds=2, longest=60)
def beat_is_dead(site: Site, random: Random, seconds: float) -> None:
    assert site.beat is not None
    with site.without(site.beat):
        site.kill(site.beat)
        last(seconds)
