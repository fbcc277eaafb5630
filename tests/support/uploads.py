"""Bodies for tests of the HTTP API, and requests that no client library sends."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from pipeline.context import Context
from pipeline.database.tables import batch_parts, batches, items, leases
from tests.support.gateway import HANG_SECONDS, ServedApi

NDJSON = {"Content-Type": "application/x-ndjson"}

DEFINITION = """
name = "{name}"
[input]
text = "text"
[classify]
use = "keywords"
default = "other"
[[classify.rules]]
label = "billing"
any = ["invoice"]
"""


def write_definition(folder: Path, name: str = "tickets", extra: str = "") -> None:
    """Write a definition that needs no code into a folder of definitions."""
    (folder / f"{name}.toml").write_text(DEFINITION.format(name=name).replace("[input]", f"[input]{extra}"))


def lines(number: int, **fields: Any) -> bytes:
    """Payloads as JSON Lines."""
    return b"".join(json.dumps({"text": f"invoice {n}", **fields}).encode() + b"\n" for n in range(1, number + 1))


def zipped(body: bytes) -> bytes:
    return gzip.compress(body, 1)


def content_digest(body: bytes) -> dict[str, str]:
    return {"Content-Digest": f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"}


def stored(context: Context) -> tuple[int, int, int, int]:
    """The numbers of batches, items, parts and leases of submitters in the database."""
    with context.database.read() as connection:
        counts = [connection.scalar(select(func.count()).select_from(each)) for each in (batches, items, batch_parts)]
        held = connection.scalar(select(func.count()).select_from(leases).where(leases.c.name.startswith("submit:")))
    return (*map(int, counts), int(held or 0))  # type: ignore[return-value]


def raw_request(
    api: ServedApi, head: Iterable[str], body: bytes = b"", *, method: str = "POST", path: str = "/v1/batches"
) -> socket.socket:
    """Send the beginning of a request and return its connection."""
    connection = socket.create_connection(("127.0.0.1", api.port), HANG_SECONDS)
    lines_ = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{api.port}", *head, "", ""]
    connection.sendall("\r\n".join(lines_).encode() + body)
    return connection


def read_answer(connection: socket.socket) -> tuple[int, Mapping[str, Any]]:
    """Read one answer with a Content-Length from a connection, and the status and JSON in it."""
    with connection.makefile("rb") as file:
        status = int(file.readline().split()[1])
        headers = dict(_headers(file))
        body = file.read(int(headers.get("content-length", "0")))
    return status, json.loads(body) if body else {}


def _headers(file: Any) -> Iterator[tuple[str, str]]:
    while line := file.readline().decode().strip():
        name, _, value = line.partition(":")
        yield name.lower(), value.strip()


def waited(is_met: Callable[[], bool]) -> None:
    """Wait for a condition, up to a minute."""
    waiting = threading.Event()
    for _ in range(3_000):
        if is_met():
            return
        waiting.wait(0.02)
    raise AssertionError("the condition was never met")
