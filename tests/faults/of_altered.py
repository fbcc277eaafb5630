"""What one worker does wrong, beside another that is right."""

from __future__ import annotations

from random import Random

from tests.faults.altered.clock import OFF
from tests.faults.fault import Faults, last
from tests.faults.site import RABBITMQ, REDIS, Site

fault = Faults("altered")


@fault(seconds=1, longest=15)
def every_message_is_published_twice(site: Site, random: Random, seconds: float) -> None:
    _alter(site, "publishes_twice", seconds)


@fault(seconds=2, longest=15)
def publishing_fails_after_the_commit(site: Site, random: Random, seconds: float) -> None:
    _alter(site, "publishing_fails", seconds)


@fault(seconds=2, longest=15)
def messages_are_lost_after_the_commit(site: Site, random: Random, seconds: float) -> None:
    _alter(site, "publishing_is_lost", seconds)


@fault(seconds=2, longest=15)
def commits_fail_after_the_model_ran(site: Site, random: Random, seconds: float) -> None:
    _alter(site, "commits_fail", seconds)


@fault(seconds=2, longest=15)
def connections_break_after_the_commit(site: Site, random: Random, seconds: float) -> None:
    _alter(site, "commits_unheard", seconds)


@fault(REDIS, RABBITMQ, seconds=2, longest=15)
def two_dispatch_at_once(site: Site, random: Random, seconds: float) -> None:
    _alter(site, "two_dispatchers", seconds)


@fault(seconds=1, longest=5)
def dispatch_dies_before_it_publishes(site: Site, random: Random, seconds: float) -> None:
    # It dies again and again for that long, as soon as it is started.
    _alter(site, "dispatcher_dies", seconds)


@fault(REDIS, RABBITMQ, seconds=5, longest=30)
def the_clock_of_a_worker_is_minutes_off(site: Site, random: Random, seconds: float) -> None:
    # It jumps while the worker runs, and is off when the next one starts.
    with site.altering(random.choice(list(OFF))):
        last(seconds / 2)
        site.kill(site.altered)
        last(seconds / 2)


def _alter(site: Site, name: str, seconds: float) -> None:
    with site.altering(name):
        last(seconds)
