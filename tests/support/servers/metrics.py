"""`pipeline metrics` as a process of the tests' own, and what its listener and those of workers answer."""

from __future__ import annotations

from http.client import HTTPConnection

from prometheus_client.parser import text_string_to_metric_families

from tests.support.servers.server import Server


class Metrics(Server):
    """One `pipeline metrics`."""

    name = "metrics"

    def __init__(self, environment: dict[str, str]) -> None:
        super().__init__()
        self._environment = environment

    @property
    def url(self) -> str:
        return f"127.0.0.1:{self.port}"

    def _launch(self) -> None:
        self._spawn_python(["pipeline", "metrics", "--listen", self.url], self._environment)

    def _probe(self) -> None:
        assert get(self.port, "/live")[0] == 200


def get(port: int, path: str, accept: str = "", method: str = "GET") -> tuple[int, str, str]:
    """Return status, media type and body of an answer."""
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, headers={"Accept": accept})
        answer = connection.getresponse()
        return answer.status, answer.headers["Content-Type"], answer.read().decode()
    finally:
        connection.close()


def samples(page: str) -> dict[str, dict[tuple[str, ...], float]]:
    """Return the samples of a page: by name, and by the values of their labels in the order of the labels' names."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            labels = tuple(value for _, value in sorted(sample.labels.items()))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found
