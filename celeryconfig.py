"""Celery's settings, each with its reason. What an operator may choose is in `PIPELINE_*`, see pipeline/settings.py."""

from __future__ import annotations

from typing import Any

from kombu.entity import Exchange, Queue
from kombu.transport import TRANSPORT_ALIASES as _transport_aliases

from pipeline.broker.messages import DISPATCH_TASK, QUEUE_OF, SWEEP_TASK
from pipeline.settings import EMBEDDED_BROKER_URL, Transport, load

_settings = load()
_transport = _settings.transport

broker_url = _settings.broker_url.get_secret_value() if _settings.broker_url else EMBEDDED_BROKER_URL
#: A queue per stage, so that started items finish first; `deliver` and `control` wait behind no item.
QUEUE_NAMES = ("enrich", "classify", "deliver", "control")

# --- what a message is -------------------------------------------------------------------------------------------
# JSON only: a message must never be able to run code.
task_serializer = "json"
result_serializer = "json"
accept_content = ["json"]
task_protocol = 2
# State is in SQL; a result backend would be a second, weaker truth.
result_backend = None
task_ignore_result = True
task_store_errors_even_if_ignored = False
task_track_started = False
# Arguments are ids; deep reprs cost time and could only show more.
task_repr_maxlevels = 1

# --- where it goes -------------------------------------------------------------------------------------------------
# Quorum queues survive the loss of a node. Nudges wait for a worker, not for ever: SQL knows what there is to do.
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
# A misspelt queue fails loudly instead of filling unseen.
task_create_missing_queues = False
task_default_queue = "control"
task_default_exchange = "control"
task_default_routing_key = "control"
task_routes = {name: {"queue": queue} for name, queue in QUEUE_OF.items()}
task_default_delivery_mode = "persistent"
imports = ["workers.tasks.items", "workers.tasks.deliveries", "workers.tasks.control"]

# --- when it counts ------------------------------------------------------------------------------------------------
# Acknowledge after the commit: a message that is lost with its worker is only a lost nudge, but why lose it.
task_acks_late = True
# SQL decides on retries. A message that came back from the broker would only be found stale.
task_acks_on_failure = True
task_acks_on_timeout = True
task_reject_on_worker_lost = False
# Backoff is `due_at` in SQL: a countdown would sit in worker memory and, on Redis, run again and again.
worker_disable_rate_limits = True

# --- how a worker takes them ---------------------------------------------------------------------------------------
# Enough for every pool thread to have a full micro-batch under way and one gathering.
worker_concurrency = _settings.concurrency
worker_prefetch_multiplier = 2 * _settings.batch_items
# After a lost connection Celery would take fewer, since what still runs comes again: here that is found stale at once.
worker_enable_prefetch_count_reduction = False
# The fastest. On Celery's own command line, the other choice is `--pool processes`: `prefork` means this default.
worker_pool = "threads"
# Children of the prefork pool are fresh interpreters: a fork would copy threads' locks and open connections.
worker_pool_start_method = "spawn"
# They import the application first.
worker_proc_alive_timeout = 60.0
# Their memory may grow with the code that runs in them.
worker_max_tasks_per_child = 1_000
# A child that died is noticed; what it held comes back from SQL.
worker_lost_wait = 2.0
# Without the 28 queues that Celery would have RabbitMQ keep for delayed messages, of which there are none.
worker_consumer = "workers.receive.consumer:Consumer"
# How often a worker without an event loop, hence an embedded one, looks whether it should stop.
worker_timer_precision = 0.1
# Two log lines an item would drown everything else; ours say what matters.
worker_hijack_root_logger = False
worker_redirect_stdouts = False
# Events begin when Flower asks for them, and cost nothing before; PIPELINE_TASK_EVENTS=false keeps items out of them.
worker_send_task_events = False
task_send_sent_event = False

# --- the broker ----------------------------------------------------------------------------------------------------
broker_connection_retry_on_startup = True
# The default gives up after 100 tries, and the worker with it.
broker_connection_max_retries = None
broker_channel_error_retry = True
# How long a program that sends waits for a connection before it says that the broker does not answer.
broker_connection_timeout = 4.0
_transport_options: dict[Transport, dict[str, Any]] = {
    # The in-memory transport polls; its default of one second would be the latency of every item.
    Transport.MEMORY: {"polling_interval": 0.005},
    Transport.REDIS: {
        # Celery would write every message into Redis a second time until it is acknowledged, and hand it out again
        # after an hour. Leases in SQL find what a killed worker took along, in seconds; this is four times as fast.
        "ack_emulation": False,
        # Commands have no timeout of their own: a server that hangs must not hang us.
        "socket_timeout": 10,
        "socket_connect_timeout": 4,
        "socket_keepalive": True,
        # With the timeout above: how soon a connection that leads nowhere is noticed.
        "health_check_interval": 10,
        "client_name": "pipeline",
        # Not `retry_on_timeout`: it would switch pipelined publishing off.
    },
    Transport.RABBITMQ: {
        # Not `confirm_publish`: it waits for every single message. pipeline/broker/confirms.py waits once for a group.
        "read_timeout": 30,
        "write_timeout": 30,
    },
}
broker_transport_options = _transport_options[_transport]
# Many messages in one round trip. By their aliases, since whoever shows a URL, such as Flower, reads its scheme.
if _transport is Transport.REDIS:
    _transport_aliases |= dict.fromkeys(("redis", "rediss"), "workers.transports.redis_bulk:RedisTransport")
elif _transport is Transport.RABBITMQ:
    _transport_aliases |= dict.fromkeys(("amqp", "pyamqp"), "workers.transports.rabbitmq.transport:RabbitMQTransport")

# --- the clock from outside ----------------------------------------------------------------------------------------
# Workers of the `control` queue dispatch and sweep by timers of their own. Beat sees to it as well; what it sent while
# no such worker ran is too old to be of use.
beat_schedule = {
    "dispatch": {"task": DISPATCH_TASK, "schedule": 5.0, "options": {"expires": 5.0}},
    "sweep": {"task": SWEEP_TASK, "schedule": 10.0, "options": {"expires": 10.0}},
}

enable_utc = True
timezone = "UTC"
