"""What the server of forks imports, once for all programs that start from it: packages, and `pipeline` itself.

Not `workers` and `celeryconfig`, which read the settings when they are imported.
"""

from __future__ import annotations

import contextlib
import gc
from importlib import import_module

_NAMES = [
    # What a worker imports of others, on any broker and database.
    "alembic.command",
    "amqp",
    "celery.apps.beat",
    "celery.apps.worker",
    "celery.bin.celery",
    "celery.concurrency.prefork",
    "celery.concurrency.thread",
    "celery.worker.consumer",
    "cryptography.hazmat.primitives.asymmetric.ed25519",
    "cryptography.hazmat.primitives.ciphers.aead",
    "httptools",
    "kombu.transport.pyamqp",
    "kombu.transport.redis",
    "orjson",
    "psycopg",
    "pydantic_settings",
    "rich.console",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite",
    # What the commands import.
    "flower.app",
    "pipeline.bootstrap",
    "pipeline.broker.bulk_publisher",
    "pipeline.cli.commands.results",
    "pipeline.cli.commands.run",
    "pipeline.cli.commands.serve",
    "pipeline.cli.commands.status",
    "pipeline.cli.commands.submit",
    "pipeline.cli.commands.worker",
    "pipeline.client.connect",
    "pipeline.http_api.server.binding",
    "pipeline.stages.classifiers.keywords",
]

for _name in _NAMES:
    # Optional packages may be missing; who needs one says so.
    with contextlib.suppress(ImportError):
        import_module(_name)

# A collection in a child would copy every page that it looks at.
gc.collect()
gc.freeze()
