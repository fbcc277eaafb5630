"""The three steps by hand for queues that run threads or processes: SQLAlchemy, a commit for each step, and requests.

Connections are kept: a pool of the database for each process, an HTTP session for each thread. The statements are
written out: SQLAlchemy's own would have to be compiled to the same.
"""

from __future__ import annotations

import functools
import threading

import requests
from sqlalchemy import JSON, Engine, bindparam, create_engine, text

from benchmarks.contestants.program import Place
from benchmarks.job import body_of, enrichment_of, headers_of, label_of

TIMEOUT_SECONDS = 10
#: An item's number, and what its callback says of it.
Result = tuple[int, str, dict[str, int]]

_READ = text("SELECT text, label FROM items WHERE id = :id")
_CLASSIFIED = text("UPDATE items SET label = :label, status = 'classified' WHERE id = :id")
_ENRICHED = text("UPDATE items SET enrichment = :enrichment, status = 'done' WHERE id = :id").bindparams(
    # Cast on PostgreSQL, text on SQLite.
    bindparam("enrichment", type_=JSON)
)


class Steps:
    """The steps of any item, in any thread of a process.

    Args:
        connections: to the database, in this process.
    """

    def __init__(self, place: Place, connections: int) -> None:
        self._place = place
        self._connections = connections
        self._local = threading.local()

    def classify(self, number: int) -> int:
        """Label an item, and hand its number on."""
        with self._engine.begin() as connection:
            item = connection.execute(_READ, {"id": number}).one()
            connection.execute(_CLASSIFIED, {"id": number, "label": label_of(item.text)})
        return number

    def enrich(self, number: int) -> Result:
        """Enrich an item, and hand on what its callback says: it need not be read again."""
        with self._engine.begin() as connection:
            item = connection.execute(_READ, {"id": number}).one()
            enrichment = enrichment_of(item.text)
            connection.execute(_ENRICHED, {"id": number, "enrichment": enrichment})
        return number, item.label, enrichment

    def call_back(self, result: Result) -> None:
        """Post a result."""
        number, label, enrichment = result
        body = body_of(number, label, enrichment)
        headers = headers_of(number, body)
        self._session.post(self._place.callback_url, body, headers=headers, timeout=TIMEOUT_SECONDS).raise_for_status()

    @functools.cached_property
    def _engine(self) -> Engine:
        # When it is first used: children of a fork must not share connections.
        url = self._place.database_url.replace("postgresql:", "postgresql+psycopg:")
        return create_engine(url, pool_size=self._connections, max_overflow=0)

    @property
    def _session(self) -> requests.Session:
        found: requests.Session | None = getattr(self._local, "session", None)
        if found is None:
            found = self._local.session = requests.Session()
            # Otherwise it reads the environment and the user's .netrc for every request.
            found.trust_env = False
        return found
