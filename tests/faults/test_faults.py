"""The short form: every fault once at every site where it can strike. `python -m tests.faults` is the long one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from random import Random

import pytest

from tests.faults import sites
from tests.faults.catalog import faults_of
from tests.faults.fault import Fault
from tests.faults.ordeal import Ordeal
from tests.faults.site import EMBEDDED, NAMES, Site

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

#: What goes wrong by an item itself: it kills whoever runs it.
POISON = "poison"


def targets_of(name: str) -> list[str]:
    """Return what is struck at a site, one after the other."""
    return [*dict.fromkeys(fault.target for fault in faults_of(name)), POISON]


# One process runs all of a site, which is opened once; sites side by side, since most of their time is waiting.
STRUCK = [
    pytest.param(name, target, marks=pytest.mark.xdist_group(f"faults-{name}"))
    for name in NAMES
    for target in targets_of(name)
]


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


@pytest.mark.parametrize(("site", "target"), STRUCK, indirect=["site"])
def test_everything_comes_right_whatever_strikes(site: Site, target: str) -> None:
    ordeal = Ordeal(site, Random(target))
    if target == POISON:
        ordeal.submit(40, poison=1)
    for fault in faults_of(site.name):
        if fault.target == target:
            _endure(ordeal, fault)
    ordeal.settle()


def _site(name: str, folder: Path, request: pytest.FixtureRequest) -> AbstractContextManager[Site]:
    if name == EMBEDDED:
        return sites.embedded(folder)
    return sites.distributed(folder, request.getfixturevalue("postgres"), request.getfixturevalue(name))


def _endure(ordeal: Ordeal, fault: Fault) -> None:
    """Strike once something is under way; what it left is looked at when all have struck."""
    trial = ordeal.submit(60)
    ordeal.wait_until_under_way(trial)
    ordeal.strike(fault, seconds=lambda fault: fault.seconds[0], delay=lambda: 0.0)
    trial.open_gate()
