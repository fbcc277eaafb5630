"""Celery's settings and the tasks that there are."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from inspect import signature

import pytest
from celery.app.defaults import NAMESPACES, flatten

import celeryconfig
import workers.tasks
from pipeline.broker import messages
from workers.app import app

MODULES = [f"workers.tasks.{module.name}" for module in pkgutil.iter_modules(workers.tasks.__path__)]
for module in MODULES:
    import_module(module)
SETTINGS = dict(flatten(NAMESPACES))
TASKS = {name: task for name, task in app.tasks.items() if not name.startswith("celery.")}


def test_celery_imports_every_module_of_tasks() -> None:
    assert sorted(celeryconfig.imports) == sorted(MODULES)


def test_the_names_on_the_wire_are_these() -> None:
    # Messages with these names are under way while a new version is started: a name may be added, not changed.
    assert set(TASKS) == {"items.classify", "items.enrich", "deliveries.send", "control.dispatch", "control.sweep"}


def test_what_the_library_sends_is_a_task_that_workers_have() -> None:
    assert {*messages.ITEM_TASKS.values(), messages.DELIVER_TASK, messages.DISPATCH_TASK, messages.SWEEP_TASK} == set(
        TASKS
    )


@pytest.mark.parametrize("name", sorted(TASKS))
def test_each_task_is_explained_named_by_hand_and_goes_to_a_declared_queue(name: str) -> None:
    task = TASKS[name]
    assert task.run.__doc__
    assert not name.startswith(task.__module__)
    assert app.amqp.router.route({}, name)["queue"].name in celeryconfig.QUEUE_NAMES


@pytest.mark.parametrize("name", sorted(TASKS))
def test_a_message_carries_numbers_of_rows_and_nothing_of_what_is_in_them(name: str) -> None:
    assert {parameter.annotation for parameter in signature(TASKS[name].run).parameters.values()} <= {"int"}


def test_queues_are_the_declared_ones_and_each_is_used() -> None:
    assert tuple(queue.name for queue in celeryconfig.task_queues) == celeryconfig.QUEUE_NAMES
    assert {app.amqp.router.route({}, name)["queue"].name for name in TASKS} == set(celeryconfig.QUEUE_NAMES)


def test_what_is_started_comes_before_what_waits() -> None:
    names = celeryconfig.QUEUE_NAMES
    assert names.index("enrich") < names.index("classify")


def test_each_setting_is_one_that_celery_knows() -> None:
    # Celery accepts any name, and ignores what it does not know.
    given = {name for name in vars(celeryconfig) if name.islower() and not name.startswith("_")}
    assert given - set(SETTINGS) <= {"annotations", "load"}
