"""Bulk classification and enrichment: every item's result is handed over the moment the item is done."""

from __future__ import annotations

from importlib import import_module as _import_module
from typing import TYPE_CHECKING

# What the module of a classifier or an enricher needs: no database, no Celery.
from pipeline.domain.item import Classification, Item, ItemState, Stage, WorkItem
from pipeline.errors import (
    AccessDenied,
    BacklogFull,
    ClientClosed,
    Conflict,
    DatabaseFull,
    EndpointOwned,
    IdempotencyMismatch,
    InvalidArgument,
    InvalidDefinition,
    InvalidInput,
    InvalidItems,
    InvalidSettings,
    NoItems,
    NotFound,
    OutcomeUnknown,
    Permanent,
    PipelineError,
    ProcessForked,
    SourceChanged,
    SourceUnavailable,
    StageError,
    SubmissionInProgress,
    TargetConflict,
    TargetUnavailable,
    Throttled,
    Transient,
    Unreachable,
    WaitTimeout,
    WrongSchema,
)
from pipeline.stages.catalog.batched import batched

if TYPE_CHECKING:
    from pipeline.access.keys import BadKey, ExpiredKey, RevokedKey
    from pipeline.access.stream_tokens import BadToken
    from pipeline.client.async_client import AsyncClient
    from pipeline.client.batch import AsyncBatch, Batch
    from pipeline.client.client import Client
    from pipeline.client.connect import SettingOverrides, connect
    from pipeline.client.delivery import AsyncDelivery, Delivery, DeliveryAttempt
    from pipeline.client.endpoint import (
        AsyncEndpoint,
        Endpoint,
        EndpointChanges,
        EndpointInfo,
        EndpointSettings,
        PingResult,
    )
    from pipeline.client.remote.remote_batch import RemoteBatch
    from pipeline.client.remote.remote_client import RemoteClient
    from pipeline.client.remote.remote_delivery import RemoteDelivery
    from pipeline.client.remote.remote_endpoint import RemoteEndpoint
    from pipeline.client.result import ItemFailure, Result, Timings
    from pipeline.client.source_reader import SourceReader, read
    from pipeline.crypto.encryption import CannotDecrypt, InvalidEncryptionKey
    from pipeline.crypto.secrets import InvalidSecret
    from pipeline.crypto.verify_webhook import InvalidWebhook, verify_webhook
    from pipeline.definitions.definition import Definition, DefinitionTables
    from pipeline.definitions.input_and_retry import InputSpec, RetrySpec
    from pipeline.delivery.endpoint_secrets import KnownSecret
    from pipeline.delivery.rules.delivery import AttemptOutcome, DeliveryState
    from pipeline.delivery.rules.endpoint_state import EndpointState
    from pipeline.delivery.rules.headers import InvalidHeader
    from pipeline.delivery.rules.notice import Notice, NoticeType
    from pipeline.domain.alerts.guard import Guard
    from pipeline.domain.batch import BatchState, Progress
    from pipeline.domain.callback_url import ForbiddenCallbackUrl, InvalidCallbackUrl
    from pipeline.domain.event import EventType
    from pipeline.domain.inputs.arrow_stream import ArrowStream
    from pipeline.domain.inputs.field_types import FieldType
    from pipeline.domain.outcome import FailureKind
    from pipeline.domain.payload import Rejection
    from pipeline.domain.urls.export_target import InvalidExportTarget
    from pipeline.hooks import Event, Hook
    from pipeline.stages.catalog.spec import ClassifySpec, EnrichSpec

__all__ = [
    "AccessDenied",
    "ArrowStream",
    "AsyncBatch",
    "AsyncClient",
    "AsyncDelivery",
    "AsyncEndpoint",
    "AttemptOutcome",
    "BacklogFull",
    "BadKey",
    "BadToken",
    "Batch",
    "BatchState",
    "CannotDecrypt",
    "Classification",
    "ClassifySpec",
    "Client",
    "ClientClosed",
    "Conflict",
    "DatabaseFull",
    "Definition",
    "DefinitionTables",
    "Delivery",
    "DeliveryAttempt",
    "DeliveryState",
    "Endpoint",
    "EndpointChanges",
    "EndpointInfo",
    "EndpointOwned",
    "EndpointSettings",
    "EndpointState",
    "EnrichSpec",
    "Event",
    "EventType",
    "ExpiredKey",
    "FailureKind",
    "FieldType",
    "ForbiddenCallbackUrl",
    "Guard",
    "Hook",
    "IdempotencyMismatch",
    "InputSpec",
    "InvalidArgument",
    "InvalidCallbackUrl",
    "InvalidDefinition",
    "InvalidEncryptionKey",
    "InvalidExportTarget",
    "InvalidHeader",
    "InvalidInput",
    "InvalidItems",
    "InvalidSecret",
    "InvalidSettings",
    "InvalidWebhook",
    "Item",
    "ItemFailure",
    "ItemState",
    "KnownSecret",
    "NoItems",
    "NotFound",
    "Notice",
    "NoticeType",
    "OutcomeUnknown",
    "Permanent",
    "PingResult",
    "PipelineError",
    "ProcessForked",
    "Progress",
    "Rejection",
    "RemoteBatch",
    "RemoteClient",
    "RemoteDelivery",
    "RemoteEndpoint",
    "Result",
    "RetrySpec",
    "RevokedKey",
    "SettingOverrides",
    "SourceChanged",
    "SourceReader",
    "SourceUnavailable",
    "Stage",
    "StageError",
    "SubmissionInProgress",
    "TargetConflict",
    "TargetUnavailable",
    "Throttled",
    "Timings",
    "Transient",
    "Unreachable",
    "WaitTimeout",
    "WorkItem",
    "WrongSchema",
    "batched",
    "connect",
    "read",
    "verify_webhook",
]

_LAZY = {
    "ArrowStream": "pipeline.domain.inputs.arrow_stream",
    "AsyncBatch": "pipeline.client.batch",
    "AsyncClient": "pipeline.client.async_client",
    "AsyncDelivery": "pipeline.client.delivery",
    "AsyncEndpoint": "pipeline.client.endpoint",
    "AttemptOutcome": "pipeline.delivery.rules.delivery",
    "BadKey": "pipeline.access.keys",
    "BadToken": "pipeline.access.stream_tokens",
    "Batch": "pipeline.client.batch",
    "BatchState": "pipeline.domain.batch",
    "CannotDecrypt": "pipeline.crypto.encryption",
    "ClassifySpec": "pipeline.stages.catalog.spec",
    "Client": "pipeline.client.client",
    "Definition": "pipeline.definitions.definition",
    "DefinitionTables": "pipeline.definitions.definition",
    "Delivery": "pipeline.client.delivery",
    "DeliveryAttempt": "pipeline.client.delivery",
    "DeliveryState": "pipeline.delivery.rules.delivery",
    "Endpoint": "pipeline.client.endpoint",
    "EndpointChanges": "pipeline.client.endpoint",
    "EndpointInfo": "pipeline.client.endpoint",
    "EndpointSettings": "pipeline.client.endpoint",
    "EndpointState": "pipeline.delivery.rules.endpoint_state",
    "EnrichSpec": "pipeline.stages.catalog.spec",
    "Event": "pipeline.hooks",
    "EventType": "pipeline.domain.event",
    "ExpiredKey": "pipeline.access.keys",
    "FailureKind": "pipeline.domain.outcome",
    "FieldType": "pipeline.domain.inputs.field_types",
    "ForbiddenCallbackUrl": "pipeline.domain.callback_url",
    "Guard": "pipeline.domain.alerts.guard",
    "Hook": "pipeline.hooks",
    "InputSpec": "pipeline.definitions.input_and_retry",
    "InvalidCallbackUrl": "pipeline.domain.callback_url",
    "InvalidEncryptionKey": "pipeline.crypto.encryption",
    "InvalidExportTarget": "pipeline.domain.urls.export_target",
    "InvalidHeader": "pipeline.delivery.rules.headers",
    "InvalidSecret": "pipeline.crypto.secrets",
    "InvalidWebhook": "pipeline.crypto.verify_webhook",
    "ItemFailure": "pipeline.client.result",
    "KnownSecret": "pipeline.delivery.endpoint_secrets",
    "Notice": "pipeline.delivery.rules.notice",
    "NoticeType": "pipeline.delivery.rules.notice",
    "PingResult": "pipeline.client.endpoint",
    "Progress": "pipeline.domain.batch",
    "Rejection": "pipeline.domain.payload",
    "RemoteBatch": "pipeline.client.remote.remote_batch",
    "RemoteClient": "pipeline.client.remote.remote_client",
    "RemoteDelivery": "pipeline.client.remote.remote_delivery",
    "RemoteEndpoint": "pipeline.client.remote.remote_endpoint",
    "Result": "pipeline.client.result",
    "RetrySpec": "pipeline.definitions.input_and_retry",
    "RevokedKey": "pipeline.access.keys",
    "SettingOverrides": "pipeline.client.connect",
    "Timings": "pipeline.client.result",
    "SourceReader": "pipeline.client.source_reader",
    "connect": "pipeline.client.connect",
    "read": "pipeline.client.source_reader",
    "verify_webhook": "pipeline.crypto.verify_webhook",
}

# Type checkers take the names from the imports above, and report a name that is not among them.
if not TYPE_CHECKING:

    def __getattr__(name):
        """Import a name when it is first used, and keep it."""
        if name not in _LAZY:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(_import_module(_LAZY[name]), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
