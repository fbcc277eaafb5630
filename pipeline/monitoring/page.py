"""The page of what is read from SQL, and the listener that shows it.

Needs `prometheus_client`: import this module only where metrics are wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict

import orjson

from pipeline.context import Context
from pipeline.database.trouble import log_failure
from pipeline.domain.item import Stage
from pipeline.errors import InvalidInput
from pipeline.log import get_logger
from pipeline.monitoring.collect import Collected, Collector
from pipeline.monitoring.scale import wanted_for
from pipeline.telemetry.http_server import Answering, MetricsListener, PageAnswer

try:
    from pipeline.telemetry.exposition import FamilyReading, write, write_file, write_text
except ImportError as error:
    raise InvalidInput(f"metrics need {error.name}: pip install 'pipeline[metrics]'") from None

log = get_logger(__name__)

_JSON = "application/json"


def readings_of(collected: Collected) -> list[FamilyReading]:
    """Return what was read from SQL, for the page."""
    return [FamilyReading(family, values) for family, values in collected.values.items()]


def sql_page(collector: Collector, accept: str) -> tuple[str, bytes]:
    """Return the media type and the page of what is read from SQL, for an `Accept` header."""
    return write(readings_of(collector.collect()), accept)


class MonitoringServer:
    """Shows what is read from SQL, and how many workers each queue wants.

    Args:
        others: returns what else belongs on the page.
        problem: returns why this process does not work; None if it does.

    Raises:
        InvalidInput: the address cannot be listened on.
    """

    def __init__(
        self,
        context: Context,
        address: tuple[str, int] | None,
        *,
        others: Callable[[], Iterable[FamilyReading]] = list,
        problem: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._context, self._others, self._problem = context, others, problem
        answers: dict[str, Answering] = {
            "metrics": self._answer_metrics,
            "live": self._answer_live,
            "scale": self._answer_scale,
        }
        self._listener = None if address is None else MetricsListener(address, answers)
        self.collector = Collector(context)

    @property
    def port(self) -> int | None:
        """Where it listens; None: nowhere."""
        return None if self._listener is None else self._listener.port

    def start(self) -> None:
        """Begin to answer."""
        if self._listener is not None:
            self._listener.start()

    def stop(self) -> None:
        """Stop listening and reading."""
        if self._listener is not None:
            self._listener.stop()
        self.collector.close()

    def page(self, accept: str = "") -> tuple[str, bytes]:
        """Return the media type and the page for an `Accept` header."""
        return write(self._readings(), accept)

    def text(self) -> bytes:
        """Return the page as text."""
        return write_text(self._readings())

    def text_file(self) -> bytes:
        """Return the page as files of the node exporter have it."""
        return write_file(self._readings())

    def _readings(self) -> list[FamilyReading]:
        return [*readings_of(self.collector.collect()), *self._others()]

    def _answer_metrics(self, rest: str, accept: str) -> PageAnswer | None:
        if rest:
            return None
        media_type, body = self.page(accept)
        return PageAnswer(body, media_type)

    def _answer_live(self, rest: str, accept: str) -> PageAnswer | None:
        if rest:
            return None
        problem = self._problem()
        return PageAnswer(b"ok\n") if problem is None else PageAnswer(f"{problem}\n".encode(), status=503)

    def _answer_scale(self, rest: str, accept: str) -> PageAnswer | None:
        if rest not in set(Stage):
            return None
        try:
            wanted = wanted_for(self._context, Stage(rest))
        except Exception as error:
            # Never 0: an autoscaler would remove workers of which nobody knows whether they are needed.
            log_failure(log, "scale_not_read", error, stage=rest)
            return PageAnswer(orjson.dumps({"error": "the database cannot be read"}), _JSON, 503)
        return PageAnswer(orjson.dumps(asdict(wanted)), _JSON)
