"""Celery's settings, each with its reason. Operators choose through `PIPELINE_*`; see pipeline/settings.py."""

from __future__ import annotations

from typing import Any

from kombu.entity import Exchange, Queue
from kombu.transport import TRANSPORT_ALIASES as _transport_aliases

from pipeline.broker.messages import DISPATCH_TASK, QUEUE_OF, SWEEP_TASK
from pipeline.settings import EMBEDDED_BROKER_URL, Transport, load
from workers.transports.choice import fast_aliases as _fast_aliases

_settings = load()
_transport = _settings.transport

broker_url = _settings.broker_url.get_secret_value() if _settings.broker_url else EMBEDDED_BROKER_URL
#: One queue per stage, so that started items finish first; `deliver` and `control` never wait behind items.
QUEUE_NAMES = ("enrich", "classify", "deliver", "control")

# --- message format -----------------------------------------------------------------------------------------------
# JSON only: a message must not be able to run code.
task_serializer = "json"
result_serializer = "json"
accept_content = ["json"]
task_protocol = 2
# State is in SQL; a result backend would be a second, weaker source of truth.
result_backend = None
task_ignore_result = True
task_store_errors_even_if_ignored = False
task_track_started = False
# Arguments are ids; deeper reprs cost time and could only reveal more.
task_repr_maxlevels = 1

# --- routing ------------------------------------------------------------------------------------------------------
# Quorum queues survive the loss of a node. Queues of nudges are bounded: SQL knows what there is to do.
_arguments = {
    name: {"x-queue-type": "quorum"} | ({"x-max-length": 1_000} if name in ("deliver", "control") else {})
    for name in QUEUE_NAMES
}
task_queues = [
    Queue(
        name,
        Exchange(name, type="direct"),
        routing_key=name,
        queue_arguments=_arguments[name] if _transport is Transport.RABBITMQ else None,
    )
    for name in QUEUE_NAMES
]
# A misspelled queue name fails loudly instead of creating a queue that nobody reads.
task_create_missing_queues = False
task_default_queue = "control"
task_default_exchange = "control"
task_default_routing_key = "control"
task_routes = {name: {"queue": queue} for name, queue in QUEUE_OF.items()}
task_default_delivery_mode = "persistent"
imports = ["workers.tasks.items", "workers.tasks.deliveries", "workers.tasks.control"]

# --- acknowledgement and retries ----------------------------------------------------------------------------------
# Acknowledge after the commit. Losing a message would cost only time, but there is no reason to lose it.
task_acks_late = True
# SQL decides on retries. A message that the broker redelivers would only be found stale.
task_acks_on_failure = True
task_acks_on_timeout = True
task_reject_on_worker_lost = False
# Backoff is `due_at` in SQL. A countdown would sit in worker memory and, on Redis, run again and again.
worker_disable_rate_limits = True

# --- workers ------------------------------------------------------------------------------------------------------
# Enough for every pool thread to run a full micro-batch while another one gathers.
worker_concurrency = _settings.concurrency
worker_prefetch_multiplier = 2 * _settings.batch_items
# After a lost connection Celery would prefetch less, because running tasks are redelivered. Here redelivered messages
# are recognized as stale at once.
worker_enable_prefetch_count_reduction = False
# The fastest pool. On Celery's own command line, choose child processes with `--pool processes`: `--pool prefork` is
# Celery's default, and so selects this setting.
worker_pool = "threads"
# Children of the prefork pool are fresh interpreters; a fork would copy locks of threads and open connections.
worker_pool_start_method = "spawn"
# They must import the application before they are ready.
worker_proc_alive_timeout = 60.0
# Code that runs in them may leak memory.
worker_max_tasks_per_child = 1_000
# The parent notices a dead child; its items come back from SQL.
worker_lost_wait = 2.0
# Without the 28 queues that Celery creates on RabbitMQ for delayed messages, which are never used here.
worker_consumer = "workers.receive.consumer:Consumer"
# How often a worker without an event loop, such as an embedded one, checks whether it should stop.
worker_timer_precision = 0.1
# Two log lines per item would drown everything else; pipeline logs what matters.
worker_hijack_root_logger = False
worker_redirect_stdouts = False
# Events start when Flower asks for them and cost nothing before. PIPELINE_TASK_EVENTS=false excludes items.
worker_send_task_events = False
task_send_sent_event = False

# --- the broker ---------------------------------------------------------------------------------------------------
broker_connection_retry_on_startup = True
# By default the worker exits after 100 attempts.
broker_connection_max_retries = None
broker_channel_error_retry = True
# Seconds until a sending program that gets no connection reports that the broker does not respond.
broker_connection_timeout = 4.0
_transport_options: dict[Transport, dict[str, Any]] = {
    # The in-memory transport polls; the default of one second would be added to the latency of every item.
    Transport.MEMORY: {"polling_interval": 0.005},
    Transport.REDIS: {
        # Otherwise every message is written to Redis a second time until it is acknowledged, and redelivered after an
        # hour. Leases in SQL find the messages of a killed worker within seconds, and this is four times as fast.
        "ack_emulation": False,
        # Commands have no timeout by default; a server that hangs must not hang the worker.
        "socket_timeout": 10,
        "socket_connect_timeout": 4,
        "socket_keepalive": True,
        # Together with the timeout above, how soon a dead connection is noticed.
        "health_check_interval": 10,
        "client_name": "pipeline",
        # Not `retry_on_timeout`: it would disable pipelined publishing.
    },
    Transport.RABBITMQ: {
        # Not `confirm_publish`: it waits for every single message. pipeline/broker/confirms.py waits once per group.
        "read_timeout": 30,
        "write_timeout": 30,
    },
}
broker_transport_options = _transport_options[_transport]
# Many messages per round trip. Registered under the usual aliases, because programs such as Flower read the scheme of
# the URL.
if _settings.fast_transport and not _settings.is_embedded:
    _transport_aliases |= _fast_aliases(_transport)

# --- beat ---------------------------------------------------------------------------------------------------------
# Workers on the `control` queue dispatch and sweep on their own timers. Beat only adds a second trigger; messages that
# it sent while no such worker ran expire.
beat_schedule = {
    "dispatch": {"task": DISPATCH_TASK, "schedule": 5.0, "options": {"expires": 5.0}},
    "sweep": {"task": SWEEP_TASK, "schedule": 10.0, "options": {"expires": 10.0}},
}

enable_utc = True
timezone = "UTC"
