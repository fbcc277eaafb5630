"""Checks of the broker."""

from __future__ import annotations

from collections.abc import Iterator

from kombu.connection import Connection
from kombu.exceptions import KombuError

from pipeline.cli.checks.check import Check, ok, unreachable
from pipeline.domain.redaction import redact_url
from pipeline.settings import Settings

_TIMEOUT_SECONDS = 3.0


def check_broker(settings: Settings) -> Iterator[Check]:
    """Yield whether the broker responds."""
    if settings.is_embedded or settings.broker_url is None:
        yield ok("broker", "none: `pipeline run` does the work in its own process")
        return
    url = settings.broker_url.get_secret_value()
    try:
        with Connection(url, connect_timeout=_TIMEOUT_SECONDS) as connection:  # type: ignore[no-untyped-call]  # kombu has no types
            connection.ensure_connection(max_retries=1, timeout=_TIMEOUT_SECONDS)
    except (OSError, KombuError, ImportError) as error:
        yield unreachable(
            "broker", f"{redact_url(url)}: {str(error).rstrip('.')}", "start it, or correct PIPELINE_BROKER_URL"
        )
    else:
        yield ok("broker", redact_url(url))
