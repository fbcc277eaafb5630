"""Who takes part, on what, and in which ways they can be set up: the fastest in a first look is the one that counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Broker = Literal["redis", "rabbitmq", "none"]

#: In all, for two cores. More than processors, since steps wait for the disk and for the receiver as well.
_THREADS = ("threads-8", "threads-4", "threads-16")
_CELERY = ("prefork-4", "prefork-2", "prefork-8", "threads-4", "threads-8")
_COROUTINES = ("coroutines-16", "coroutines-8", "coroutines-40")
_PGQUEUER = ("uncapped-16", "uncapped-8", "coroutines-16")


@dataclass(frozen=True)
class Entrant:
    """One contestant on one broker."""

    title: str
    #: In `benchmarks.contestants`.
    module: str
    broker: Broker
    #: The first is the most likely one.
    ways: tuple[str, ...]
    #: Items for the first look: about so many take it a few seconds.
    first_look: int
    #: That of ours which it is compared with: on the same broker, where there is one.
    rival: str | None = None
    is_on_postgresql: bool = True


ENTRANTS = (
    Entrant("pipeline, Redis", "ours", "redis", ("split", "all"), 10_000),
    Entrant("pipeline, RabbitMQ", "ours", "rabbitmq", ("split", "all"), 6_000),
    Entrant("pipeline, embedded", "ours", "none", ("embedded",), 10_000, is_on_postgresql=False),
    Entrant(
        "Celery, Redis",
        "celery_chain",
        "redis",
        _CELERY,
        600,
        "pipeline, Redis",
    ),
    Entrant(
        "Celery, RabbitMQ",
        "celery_chain",
        "rabbitmq",
        _CELERY,
        600,
        "pipeline, RabbitMQ",
    ),
    Entrant("Dramatiq, Redis", "dramatiq_pipeline", "redis", _THREADS, 1_000, "pipeline, Redis"),
    Entrant("Dramatiq, RabbitMQ", "dramatiq_pipeline", "rabbitmq", _THREADS, 1_000, "pipeline, RabbitMQ"),
    Entrant("taskiq, Redis", "taskiq_stream", "redis", _COROUTINES, 1_500, "pipeline, Redis"),
    Entrant("SAQ, Redis", "saq_jobs", "redis", _COROUTINES, 1_500, "pipeline, Redis"),
    Entrant("Procrastinate, PostgreSQL", "procrastinate_jobs", "none", _COROUTINES, 600, "pipeline, Redis"),
    Entrant("PgQueuer, PostgreSQL", "pgqueuer_jobs", "none", _PGQUEUER, 1_500, "pipeline, Redis"),
    Entrant("DBOS, PostgreSQL", "dbos_workflows", "none", _THREADS, 500, "pipeline, Redis"),
    Entrant(
        "DBOS, SQLite",
        "dbos_workflows",
        "none",
        ("threads-4", "threads-2", "threads-8"),
        500,
        "pipeline, embedded",
        is_on_postgresql=False,
    ),
)
