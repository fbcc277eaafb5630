"""Bulk classification and enrichment: every item's result leaves the moment that item is done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

# What a classifier or an enricher needs.
from pipeline.domain.item import Classification, Item, WorkItem
from pipeline.domain.secret import InvalidSecret
from pipeline.domain.verification import InvalidWebhook, verify_webhook

# What can go wrong.
from pipeline.errors import (
    Conflict,
    InvalidDefinition,
    InvalidInput,
    InvalidItems,
    InvalidSettings,
    NotFound,
    Permanent,
    PipelineError,
    StageError,
    Throttled,
    Transient,
    Unreachable,
    WrongSchema,
)
from pipeline.stages.batched import batched

if TYPE_CHECKING:
    from pipeline.batch import Batch
    from pipeline.callbacks import Delivery, Endpoint
    from pipeline.client import Client, connect
    from pipeline.definitions import Definition
    from pipeline.result import Result

__all__ = [
    "Batch",
    "Classification",
    "Client",
    "Conflict",
    "Definition",
    "Delivery",
    "Endpoint",
    "InvalidDefinition",
    "InvalidInput",
    "InvalidItems",
    "InvalidSecret",
    "InvalidSettings",
    "InvalidWebhook",
    "Item",
    "NotFound",
    "Permanent",
    "PipelineError",
    "Result",
    "StageError",
    "Throttled",
    "Transient",
    "Unreachable",
    "WorkItem",
    "WrongSchema",
    "batched",
    "connect",
    "verify_webhook",
]

_LAZY = {
    "Batch": "pipeline.batch",
    "Client": "pipeline.client",
    "connect": "pipeline.client",
    "Delivery": "pipeline.callbacks",
    "Endpoint": "pipeline.callbacks",
    "Definition": "pipeline.definitions",
    "Result": "pipeline.result",
}


def __getattr__(name: str) -> Any:
    """Import what needs the database and Celery when it is first used: a classifier's module needs neither."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
