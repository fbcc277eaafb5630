"""The memory of a server as people run it, while clients send and read what would fill it: F7, F11, F32 of the API."""

from __future__ import annotations

import gzip
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.api_process import ApiProcess, api_process
from tests.support.event_logs import write_batch
from tests.support.factories import client_context, connect
from tests.support.uploads import NDJSON, lines, write_definition

pytestmark = [pytest.mark.conformance, pytest.mark.xdist_group("serve")]

#: What a server may need more than before: far less than what is sent to it.
MOST_MORE = 48 << 20
EVENT_STREAM = {"Accept": "text/event-stream"}
READERS, EVENTS = 40, 5_000
STREAM = "/v1/batches?definition=tickets"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("memory")


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[ApiProcess]:
    """A server on whose batches nothing works, which has accepted a batch before."""
    write_definition(folder)
    with api_process(folder, "--no-work", definitions=str(folder)) as running:
        assert running.http.post(STREAM, content=lines(2_000), headers=NDJSON).status_code == 201
        yield running


def resident(served: ApiProcess) -> int:
    """Return the bytes of memory that the server has in use."""
    pages = Path(f"/proc/{served.process.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def peak(served: ApiProcess) -> int:
    """Return the most bytes that it has ever had in use."""
    status = Path(f"/proc/{served.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def test_a_line_that_does_not_end_is_refused_with_little_memory(served: ApiProcess) -> None:
    before = resident(served)
    with socket.create_connection(("127.0.0.1", served.port), 60) as client:
        head = f"POST {STREAM} HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\nContent-Type: application/x-ndjson\r\n"
        client.sendall(f"{head}Content-Length: {1 << 30}\r\n\r\n".encode())
        sent, chunk = 0, b"x" * (1 << 20)
        try:
            # More than is read of it: the answer comes in between.
            while sent < 256 << 20:
                client.sendall(chunk)
                sent += len(chunk)
        except OSError:
            pass
    assert peak(served) < before + MOST_MORE


def test_a_body_that_unpacks_to_a_thousand_times_its_size_is_refused_with_little_memory(served: ApiProcess) -> None:
    before = resident(served)
    packed = gzip.compress(b'{"text": "' + bytes(200 << 20), 1)
    refused = served.http.post(STREAM, content=packed, headers={**NDJSON, "Content-Encoding": "gzip"})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_items")
    assert peak(served) < before + MOST_MORE


def test_readers_that_take_nothing_cost_little_memory_and_disturb_nobody(served: ApiProcess, folder: Path) -> None:
    with connect(folder, broker_url="redis://127.0.0.1:9/0") as client:
        batch = write_batch(client_context(client), folder, EVENTS)
        batch.finish(EVENTS)
    path = f"/v1/batches/{batch.id}/events"
    whole = served.http.get(path, headers=EVENT_STREAM).content
    before = resident(served)
    with ExitStack() as stack:
        for _ in range(READERS):
            reader = stack.enter_context(socket.socket())
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            reader.connect(("127.0.0.1", served.port))
            head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\nAccept: text/event-stream\r\n\r\n"
            reader.sendall(head.encode())
        for _ in range(3):
            assert served.http.get(path, headers=EVENT_STREAM).content.count(b"\nid: ") == whole.count(b"\nid: ")
        assert resident(served) - before < READERS * (1 << 20) < READERS * len(whole) / 2
