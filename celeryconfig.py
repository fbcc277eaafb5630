"""Celery's settings, each with its reason. What an operator may choose is in `PIPELINE_*`, see pipeline/settings.py."""

from __future__ import annotations

from typing import Any

from kombu.entity import Exchange, Queue

from pipeline.settings import EMBEDDED_BROKER_URL, load

_settings = load()

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
task_queues = [Queue(name, Exchange(name, type="direct"), routing_key=name) for name in QUEUE_NAMES]
# A misspelt queue fails loudly instead of filling unseen.
task_create_missing_queues = False
task_default_queue = "control"
task_default_exchange = "control"
task_default_routing_key = "control"
task_routes = {
    "items.classify": {"queue": "classify"},
    "items.enrich": {"queue": "enrich"},
    "deliveries.*": {"queue": "deliver"},
    "control.*": {"queue": "control"},
}
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
worker_pool = "threads"
worker_soft_shutdown_timeout = _settings.stop_seconds
worker_enable_soft_shutdown_on_idle = True
# How often a worker without an event loop, hence an embedded one, looks whether it should stop.
worker_timer_precision = 0.1
# Two log lines an item would drown everything else; ours say what matters.
worker_hijack_root_logger = False
worker_redirect_stdouts = False
worker_send_task_events = False
task_send_sent_event = False

# --- the broker ----------------------------------------------------------------------------------------------------
broker_connection_retry_on_startup = True
# The default gives up after 100 tries, and the worker with it.
broker_connection_max_retries = None
broker_channel_error_retry = True
broker_transport_options: dict[str, Any] = (
    # The in-memory transport polls; its default of one second would be the latency of every item.
    {"polling_interval": 0.005} if _settings.is_embedded else {}
)

enable_utc = True
timezone = "UTC"
