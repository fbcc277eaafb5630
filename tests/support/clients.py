"""The clients of the Python API: of a database, of a server, and of a server behind a proxy that cuts connections."""

from __future__ import annotations

import textwrap
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pipeline
from pipeline.client.remote.server import Server
from pipeline.domain.backoff import Backoff
from tests.support.cutting_proxy import Cuts, cutting_proxy
from tests.support.factories import CLASSIFY, connect
from tests.support.gateway import serving

EMBEDDED, REMOTE, CUT = "embedded", "remote", "remote, cut"
KINDS = (EMBEDDED, REMOTE, CUT)


class Definitions:
    """A folder of definitions that every kind of client finds by name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, source: str = CLASSIFY, *, enrich: bool = True) -> str:
        """Write a definition whose callables `classify` and `enrich` are in `source`, and return its name."""
        name = f"d{uuid.uuid4().hex}"
        (self.folder / f"{name}_callables.py").write_text(textwrap.dedent(source))
        steps = f'[[enrich]]\nuse = "{name}_callables:enrich"\n' if enrich else ""
        tables = '[input]\ntext = "text"\n[retry]\nbase_seconds = 0.01\n'
        classify = f'[classify]\nuse = "{name}_callables:classify"\n'
        (self.folder / f"{name}.toml").write_text(f'name = "{name}"\n{tables}{classify}{steps}')
        return name


@contextmanager
def client_of(kind: str, folder: Path, **settings: Any) -> Iterator[Any]:
    """Yield a client of this kind on a new database; it finds the definitions in the folder."""
    with connect(folder, definitions=folder, **settings) as embedded:
        if kind == EMBEDDED:
            yield embedded
            return
        with serving(embedded) as api:
            key = api.key(tenant="*")["Authorization"].removeprefix("Bearer ")
            if kind == REMOTE:
                with pipeline.connect(api.url, api_key=key) as client:
                    yield client
                return
            cuts = Cuts()
            with cutting_proxy(api.url, cuts) as url:
                backoff = Backoff(base=Backoff().base / 1_000)
                with pipeline.RemoteClient(Server(url, key, backoff=backoff)) as client:
                    yield client
                    assert cuts.number or not cuts.seen
