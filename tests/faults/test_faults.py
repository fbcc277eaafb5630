"""The short form: every fault once at every site where it can strike, beside faults that have other targets.

`python -m tests.faults` is the long form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from itertools import zip_longest
from pathlib import Path
from random import Random

import pytest

from tests.faults import sites
from tests.faults.catalog import faults_of
from tests.faults.fault import Fault
from tests.faults.ordeal import Ordeal
from tests.faults.site import EMBEDDED, NAMES, RABBITMQ, REDIS, Site
from tests.support.collection import RABBITMQ_GROUPS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

# One process runs all of a site, which is opened once; sites side by side, since most of their time is waiting.
GROUPS = {RABBITMQ: RABBITMQ_GROUPS["faults"]}
SITES = [pytest.param(name, marks=pytest.mark.xdist_group(GROUPS.get(name, f"faults-{name}"))) for name in NAMES]

Opener = Callable[[str], Site]


@pytest.fixture(scope="module")
def opener(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opener]:
    """Opens a site, and closes it when another is asked for: one at a time, each once."""
    stack = ExitStack()
    opened: dict[str, Site] = {}

    def open_one(name: str) -> Site:
        if name not in opened:
            stack.close()
            opened.clear()
            folder = tmp_path_factory.mktemp(name)
            opened[name] = stack.enter_context(_site(name, folder, request))
        return opened[name]

    with stack:
        yield open_one


@pytest.fixture
def site(request: pytest.FixtureRequest, opener: Opener) -> Site:
    """A site that is struck by one test after the other."""
    return opener(request.param)


@pytest.mark.parametrize("site", SITES, indirect=True)
def test_everything_comes_right_whatever_strikes(site: Site) -> None:
    ordeal = Ordeal(site, Random(site.name))
    for faults in rounds_of(site.name):
        trial = ordeal.submit(60)
        ordeal.wait_until_under_way(trial)
        ordeal.strike(*faults, seconds=lambda fault: fault.seconds[0], delay=lambda: 0.0)
        trial.open_gate()
    ordeal.settle()


# Once: what happens to such an item is decided in the database. `tests/acceptance/test_killed.py` has it embedded.
@pytest.mark.parametrize("site", [SITES[NAMES.index(REDIS)]], indirect=True)
def test_an_item_that_kills_whoever_runs_it_ends_dead_and_no_other_does(site: Site) -> None:
    ordeal = Ordeal(site, Random(site.name))
    ordeal.submit(40, poison=1)
    ordeal.settle()


def rounds_of(name: str) -> list[list[Fault]]:
    """Return what strikes at a site in each round: every fault once, and no two at once that have the same target."""
    by_target: dict[str, list[Fault]] = {}
    for fault in faults_of(name):
        by_target.setdefault(fault.target, []).append(fault)
    return [[fault for fault in faults if fault] for faults in zip_longest(*by_target.values())]


def _site(name: str, folder: Path, request: pytest.FixtureRequest) -> AbstractContextManager[Site]:
    if name == EMBEDDED:
        return sites.embedded(folder)
    return sites.distributed(folder, request.getfixturevalue("postgres"), request.getfixturevalue(name))
