"""Frames out of a stream that comes in pieces of any size."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator
from struct import pack

import pytest
from amqp.exceptions import UnexpectedFrame

from workers.transports.rabbitmq.frames import FrameSocket

#: As a message comes: its method, its header, its body, one of them empty; a heartbeat; a body with ends in it.
SENT = [(1, 1, b"method"), (2, 1, b"header of it"), (3, 1, b""), (8, 0, b""), (3, 2, b"\xce" * 9)]
STREAM = b"".join(pack(">BHI", kind, channel, len(payload)) + payload + b"\xce" for kind, channel, payload in SENT)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, FrameSocket]]:
    """The server's end of a connection, and ours."""
    server, client = socket.socketpair()
    ours = FrameSocket("127.0.0.1:1")
    ours.sock = client
    ours._setup_transport()
    ours.connected = True
    with server, client:
        yield server, ours


@pytest.mark.parametrize("cut", range(len(STREAM)))
def test_wherever_a_stream_is_cut_its_frames_come_out(cut: int, ends: tuple[socket.socket, FrameSocket]) -> None:
    server, ours = ends
    got = []
    for piece in (STREAM[:cut], STREAM[cut:]):
        server.sendall(piece)
        ours.take()
        got += ours.frames
        ours.frames.clear()
    assert got == SENT


def test_a_stream_of_single_bytes_is_taken_apart_as_well(ends: tuple[socket.socket, FrameSocket]) -> None:
    server, ours = ends
    for byte in STREAM:
        server.sendall(bytes([byte]))
        ours.take()
    assert list(ours.frames) == SENT


@pytest.mark.parametrize("cut", range(len(STREAM)))
def test_who_waits_for_a_frame_gets_those_that_were_read_first(
    cut: int, ends: tuple[socket.socket, FrameSocket]
) -> None:
    server, ours = ends
    server.sendall(STREAM[:cut])
    if cut:
        ours.take()
    server.sendall(STREAM[cut:])
    assert [ours.read_frame() for _ in SENT] == SENT


def test_between_two_looks_nothing_complete_is_kept_back(ends: tuple[socket.socket, FrameSocket]) -> None:
    server, ours = ends
    sizes = list(itertools.accumulate(len(payload) + 8 for _, _, payload in SENT))
    for number, byte in enumerate(STREAM, 1):
        server.sendall(bytes([byte]))
        ours.take()
        assert len(ours.frames) == sum(size <= number for size in sizes)


def test_a_look_at_a_silent_connection_does_not_wait(ends: tuple[socket.socket, FrameSocket]) -> None:
    _, ours = ends
    ours.take()
    assert not ours.frames
    assert ours.connected


def test_a_connection_that_the_server_closed_is_noticed(ends: tuple[socket.socket, FrameSocket]) -> None:
    server, ours = ends
    server.close()
    with pytest.raises(OSError, match="unexpectedly closed"):
        ours.take()
    assert not ours.connected


def test_a_frame_without_its_end_is_an_error(ends: tuple[socket.socket, FrameSocket]) -> None:
    server, ours = ends
    server.sendall(STREAM[:-1] + b"x")
    with pytest.raises(UnexpectedFrame, match="0x78"):
        ours.take()


DELIVER = (1, 1, b"\x00\x3c\x00\x3c and its arguments")
HEADER = (2, 1, b"\x00\x3c\x00\x00" + pack(">Q", 6) + b"properties")


def test_a_message_that_is_there_whole_is_taken_at_once(ends: tuple[socket.socket, FrameSocket]) -> None:
    _, ours = ends
    ours.frames.extend([DELIVER, HEADER, (3, 1, b"a body"), (8, 0, b"")])
    assert ours.take_delivery() == (1, DELIVER[2], HEADER[2], b"a body")
    assert list(ours.frames) == [(8, 0, b"")]


@pytest.mark.parametrize(
    "there",
    [
        [DELIVER, HEADER],
        [DELIVER, HEADER, (3, 1, b"a "), (3, 1, b"body")],
        [DELIVER, HEADER, (3, 2, b"a body")],
        [DELIVER, (2, 2, HEADER[2]), (3, 1, b"a body")],
        [DELIVER, (8, 0, b""), HEADER, (3, 1, b"a body")],
        [(1, 1, b"\x00\x3c\x00\x32 is returned"), HEADER, (3, 1, b"a body")],
    ],
    ids=["begun", "in two", "body of another channel", "header of another channel", "a beat between", "no delivery"],
)
def test_what_is_no_whole_message_is_left_as_it_is(
    there: list[tuple[int, int, bytes]], ends: tuple[socket.socket, FrameSocket]
) -> None:
    _, ours = ends
    ours.frames.extend(there)
    assert ours.take_delivery() is None
    assert list(ours.frames) == there
