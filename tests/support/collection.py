"""What tests are marked with by what they ask for, and the order in which they run.

`servers`: it needs a server; given here. `slow`: it takes more than about three seconds by itself; tests say so, and
all that run whole workers are.

The tests of a module share a process, except slow ones: its fixtures and its imports are made once, and pytest-xdist,
which looks through all that a process was ever given after each test, has a few hundred groups to look through.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest

from tests.support.paths import ROOT

#: The fixtures that start a server.
SERVERS = frozenset({"postgres", "redis", "rabbitmq", "nats", "kafka", "sqs", "object_store"})
#: RabbitMQ takes longer to start than most tests: two processes share the tests that need it, by folder.
INTEGRATION = "rabbitmq-integration"
#: Folders whose tests run whole workers: all of them are slow.
WHOLE_PROCESSES = ("acceptance", "faults")
#: The object store takes seconds to start, and few tests need it: one process has them.
OBJECT_STORE = "object-store"
RABBITMQ_GROUPS = dict.fromkeys(WHOLE_PROCESSES, "rabbitmq-acceptance")
#: Parameters that name a server, or what lies on one.
_CHOOSE_A_SERVER = {"database_url", "module_database", "broker", "broker_kind", "site", "target"}
_LIES_ON = {"postgresql": "postgres"}

_current = pytest.StashKey[pytest.Item]()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark tests before `-m` chooses among them; where processes share them, begin with those that take long."""
    for item in items:
        needed = _servers_of(item)
        if needed:
            item.add_marker("servers")
        if item.path.parts[-2] in WHOLE_PROCESSES:
            item.add_marker("slow")
        if "rabbitmq" in needed and item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(RABBITMQ_GROUPS.get(item.path.parts[-2], INTEGRATION)))
        elif "object_store" in needed and item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(OBJECT_STORE))
    if hasattr(config, "workerinput"):
        items.sort(key=_rank)
        _group_by_module(items)


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Iterator[None]:
    """Look for garbage neither while tests are collected nor, later on, among what is collected: nothing of it ends."""
    if hasattr(session.config, "workerinput"):
        _compile_first(session.config)
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def _compile_first(config: pytest.Config) -> None:
    """Import the tests of a whole run, each process beginning elsewhere: what one has compiled, the others only read.

    Otherwise all of them would compile every module of a fresh checkout, side by side.
    """
    if config.args != config.getini("testpaths"):
        return
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in sorted((ROOT / "tests").rglob("test_*.py"))
    ]
    worker: dict[str, Any] = config.workerinput  # type: ignore[attr-defined]
    begin = len(names) * int(worker["workerid"].removeprefix("gw")) // int(worker["workercount"])
    for name in names[begin:] + names[:begin]:
        # Collecting the module reports what is wrong with it.
        with contextlib.suppress(Exception, pytest.skip.Exception):
            import_module(name)


def _is_lost(item: pytest.Item) -> bool:
    """Say whether an item has a group that is not in its id, where the process that distributes tests looks."""
    group = item.get_closest_marker("xdist_group")
    return group is not None and not item.nodeid.endswith(f"@{group.args[0]}")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if getattr(item.config.option, "loadgroup", False) and _is_lost(item):
        pytest.fail("pytest-xdist ignores groups: each process would start the servers of every group", pytrace=False)
    item.config.stash[_current] = item


def assert_marked(config: pytest.Config) -> None:
    """Refuse a server to a test that was not recognised as one that needs it."""
    item = config.stash[_current]
    assert item.get_closest_marker("servers"), f"{item.nodeid} starts a server and is not marked with `servers`"


def _servers_of(item: pytest.Item) -> set[str]:
    assert isinstance(item, pytest.Function)
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    chosen = {parameters[name] for name in _CHOOSE_A_SERVER & parameters.keys()}
    return ({*item.fixturenames} | {_LIES_ON.get(each, each) for each in chosen}) & SERVERS


def _group_by_module(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("xdist_group") is None and _shares_a_process(item):
            item.add_marker(pytest.mark.xdist_group(f"{item.path.parent.name}.{item.path.stem}"))


def _shares_a_process(item: pytest.Item) -> bool:
    """Say whether a test is quick, or has a fixture that others of its module have too."""
    assert isinstance(item, pytest.Function)
    definitions = item._fixtureinfo.name2fixturedefs
    is_shared = any(each.scope == "module" for found in definitions.values() for each in found)
    return is_shared or item.get_closest_marker("slow") is None


def _rank(item: pytest.Item) -> int:
    """One process runs all of a group, one after the other: they begin first. What is quick fills up the end."""
    names = {mark.name for mark in item.iter_markers()}
    return next((rank for rank, name in enumerate(("xdist_group", "slow", "servers")) if name in names), 3)
