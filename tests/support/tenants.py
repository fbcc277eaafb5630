"""Batches of several tenants in one database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.batches.submission import Submission, Submitted
from pipeline.batches.submit import submit
from pipeline.context import Context
from tests.support.factories import make_definition, make_items

#: Accepts texts that do not begin with "bad", whose items are dead.
SOURCE = """
from pipeline import Permanent

def classify(item):
    if item.text.startswith("bad"):
        raise Permanent("it is bad")
    return "good"
"""


def submit_as(
    context: Context, folder: Path, tenant: str, items: int | list[dict[str, Any]] = 2, **options: Any
) -> Submitted:
    """Submit a batch of a tenant. Whoever works on the database processes it."""
    definition = make_definition(folder, SOURCE, enrich=False)
    given = make_items(items) if isinstance(items, int) else items
    return submit(context, given, Submission(definition, tenant=tenant, **options))
