"""Readers that are slow, or stop reading: they cost little, are cut off, and disturb nobody."""

from __future__ import annotations

import ctypes
import socket
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path

import httpx2
import orjson
import pytest
from websockets.sync.client import connect as connect_socket

from pipeline.http_api.server.limits import ServerLimits
from pipeline.http_api.streaming import batch_feed
from pipeline.http_api.streaming.options import StreamOptions
from tests.support.event_logs import WrittenBatch, write_batch
from tests.support.factories import connect
from tests.support.gateway import HANG_SECONDS, ServedApi, serving, wait_for_readers, wait_until

#: Far more than the kernel holds for a stream.
ITEMS = 3_000


@pytest.fixture(scope="module")
def api(folder: Path) -> Iterator[ServedApi]:
    """A server without a worker, whose patience is short."""
    limits = ServerLimits(check_seconds=0.05, send_seconds=1.0)
    with connect(folder) as client, serving(client, works=False, limits=limits) as served:
        yield served


@contextmanager
def connected(api: ServedApi) -> Iterator[socket.socket]:
    """A connection whose receiving end holds little."""
    with socket.socket() as opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        opened.settimeout(HANG_SECONDS)
        opened.connect(("127.0.0.1", api.port))
        yield opened


@contextmanager
def following(api: ServedApi, path: str) -> Iterator[socket.socket]:
    """A connection over which a batch is followed."""
    with connected(api) as opened:
        opened.sendall(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{api.port}\r\nAccept: text/event-stream\r\n\r\n".encode()
        )
        yield opened


#: Linux's option to filter what a socket receives, and a filter that lets nothing pass.
SO_ATTACH_FILTER = 26
DROP_ALL = struct.pack("HBBI", 0x06, 0, 0, 0)
#: A state in Linux's table of connections.
ESTABLISHED = "01"


@pytest.mark.skipif(sys.platform != "linux", reason="socket filters are Linux's")
def test_a_reader_that_vanishes_without_a_word_is_found_by_a_heartbeat(tmp_path: Path) -> None:
    """Its kernel acknowledges nothing any more and sends no FIN, as if its machine were gone."""
    limits, streams = ServerLimits(check_seconds=0.05, send_seconds=1.0), StreamOptions(heartbeat_seconds=0.2)
    with connect(tmp_path) as client, serving(client, works=False, limits=limits, streams=streams) as api:
        batch = write_batch(api.context, tmp_path, 1)
        program = ctypes.create_string_buffer(DROP_ALL)
        with following(api, f"/v1/batches/{batch.id}/events") as opened:
            received = b""
            while b": pipeline" not in received:
                received += opened.recv(4096)
            wait_until(lambda: len(api.gateway.streams) == 1)
            opened.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", 1, ctypes.addressof(program)))
            wait_until(lambda: len(api.gateway.streams) == 0)
            wait_for_readers(api, 0)
            # The server's end of it is gone, and no orphan of the kernel's either, as after an orderly close.
            wait_until(lambda: ESTABLISHED not in states_of_the_servers_end(opened))
            assert states_of_the_servers_end(opened) == []


def states_of_the_servers_end(client: socket.socket) -> list[str]:
    """Return the kernel's state of the other end of a connection on this machine; none: it has been forgotten."""
    pair = [as_listed(*client.getpeername()), as_listed(*client.getsockname())]
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
    return [line[3] for line in lines if line[1:3] == pair]


def as_listed(host: str, port: int) -> str:
    """Return an address as the kernel lists it."""
    return f"{socket.htonl(int(ip_address(host))):08X}:{port:04X}"


@pytest.mark.parametrize("what", ["events", "results?follow=true", "socket"])
def test_a_reader_that_takes_nothing_is_cut_off(api: ServedApi, folder: Path, what: str) -> None:
    batch = write_batch(api.context, folder, ITEMS)
    other = threading.Thread(target=lambda: read.append(api.http.get(f"/v1/batches/{batch.id}/results?follow=true")))
    read: list[httpx2.Response] = []
    if what == "socket":
        with connected(api) as opened:
            url = f"ws://127.0.0.1:{api.port}/v1/ws"
            options = {"subprotocols": ["pipeline.v1"], "max_queue": 1, "proxy": None, "close_timeout": 0.1}
            with connect_socket(url, sock=opened, **options) as client:
                client.send(orjson.dumps({"op": "subscribe", "batch": batch.id}).decode())
                finish_and_wait(api, batch, other)
    else:
        with following(api, f"/v1/batches/{batch.id}/{what}"):
            finish_and_wait(api, batch, other)
    assert len(read[0].content.splitlines()) == ITEMS


def finish_and_wait(api: ServedApi, batch: WrittenBatch, other: threading.Thread) -> None:
    """Finish a batch that one reader takes nothing of and another one all; wait until both are gone."""
    other.start()
    wait_for_readers(api, 2)
    batch.finish(ITEMS)
    other.join(HANG_SECONDS)
    wait_for_readers(api, 0)
    wait_until(lambda: len(api.gateway.streams) == 0)


def test_a_slow_reader_gets_everything_in_the_end(
    api: ServedApi, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It falls behind what is kept for everybody at once.
    monkeypatch.setattr(batch_feed, "MAX_EVENTS", 20)
    batch = write_batch(api.context, folder, ITEMS)
    pause, found = threading.Event(), b""
    with following(api, f"/v1/batches/{batch.id}/events") as opened:
        wait_for_readers(api, 1)
        while b"event: end" not in found:
            if batch.finished < ITEMS:
                batch.finish(100)
            else:
                # Slower than it is sent, and never silent for long.
                pause.wait(0.002)
            chunk = opened.recv(4096)
            assert chunk, "cut off"
            found += chunk
    seqs = [int(line[4:]) for line in found.splitlines() if line.startswith(b"id: ")]
    assert sorted(set(seqs)) == list(range(1, ITEMS + 2))
