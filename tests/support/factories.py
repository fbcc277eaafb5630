"""Plain functions with defaults that make what tests need."""

from __future__ import annotations

import queue
import textwrap
import uuid
from pathlib import Path
from typing import Any

import pipeline
from pipeline.context import Context
from pipeline.definitions import Definition
from workers.engine.engine import running_engine

CLASSIFY = """
from pipeline import batched

@batched(max_items=256)
def classify(items):
    return [("long" if len(item.text) > 20 else "short", 0.75) for item in items]

async def enrich(item):
    return {"characters": len(item.text)}
"""


def make_definition(folder: Path, source: str = CLASSIFY, *, enrich: bool = True, **tables: Any) -> Definition:
    """Return a definition whose callables `classify` and `enrich` are in `source`, a module of its own."""
    module = f"callables_{uuid.uuid4().hex}"
    (folder / f"{module}.py").write_text(textwrap.dedent(source))
    classify = {"use": f"{module}:classify"} | tables.pop("classify", {})
    steps = [{"use": f"{module}:enrich"} | tables.pop("enriching", {})] if enrich else []
    tables = {"name": "test", "input": {"text": "text"}, "retry": {"base_seconds": 0.01}} | tables
    return Definition(folder=folder, classify=classify, enrich=steps, **tables)


def make_items(number: int) -> list[dict[str, Any]]:
    return [{"text": f"text number {position}"} for position in range(1, number + 1)]


def connect(folder: Path, **settings: Any) -> pipeline.Client:
    """Return an embedded client on a database of its own in `folder`."""
    return pipeline.connect(database_url=f"sqlite:///{folder / 'pipeline.db'}", **settings)


def client_context(client: pipeline.Client) -> Context:
    """Return what the services work with that a client calls: its database, its clock."""
    return client._session.context


def embedded_queue(name: str) -> queue.Queue[Any]:
    """Return a queue of the broker in memory that the worker of this process takes messages from."""
    transport = running_engine().app.conf.broker_transport
    found: queue.Queue[Any] = transport.Channel.queues[name]
    return found
