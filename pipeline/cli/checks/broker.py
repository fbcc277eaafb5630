"""The broker: reachable, or none at all."""

from __future__ import annotations

from collections.abc import Iterator

from kombu.connection import Connection
from kombu.exceptions import KombuError

from pipeline.cli.checks.check import Check, ok, unreachable
from pipeline.cli.checks.configuration import shown_server
from pipeline.settings import Settings

_SECONDS = 3.0


def check_broker(chosen: Settings) -> Iterator[Check]:
    """Yield whether the broker answers."""
    if chosen.is_embedded or chosen.broker_url is None:
        yield ok("broker", "none: workers run in the process of `pipeline run`")
        return
    url = chosen.broker_url.get_secret_value()
    try:
        with Connection(url, connect_timeout=_SECONDS) as connection:  # type: ignore[no-untyped-call]  # kombu has no types
            connection.ensure_connection(max_retries=1, timeout=_SECONDS)
    except (OSError, KombuError, ImportError) as error:
        yield unreachable("broker", f"{shown_server(url)}: {error}", "start it, or correct PIPELINE_BROKER_URL")
    else:
        yield ok("broker", shown_server(url))
