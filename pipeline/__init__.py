"""Bulk classification and enrichment: every item's result leaves the moment that item is done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.crypto.secrets import InvalidSecret
from pipeline.crypto.verify_webhook import InvalidWebhook, verify_webhook

# What a classifier or an enricher needs.
from pipeline.domain.item import Classification, Item, WorkItem

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
from pipeline.stages.catalog.batched import batched

if TYPE_CHECKING:
    from pipeline.client.batch import Batch
    from pipeline.client.callbacks import Delivery, Endpoint
    from pipeline.client.client import Client, connect
    from pipeline.client.result import Result
    from pipeline.definitions import Definition

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
    "Batch": "pipeline.client.batch",
    "Client": "pipeline.client.client",
    "connect": "pipeline.client.client",
    "Delivery": "pipeline.client.callbacks",
    "Endpoint": "pipeline.client.callbacks",
    "Definition": "pipeline.definitions",
    "Result": "pipeline.client.result",
}


def __getattr__(name: str) -> Any:
    """Import what needs the database and Celery when it is first used: a classifier's module needs neither."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
