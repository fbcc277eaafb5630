"""The receiver of a comparison counts what it answers, whichever server it is on."""

from __future__ import annotations

from http.client import HTTPConnection

from benchmarks.comparison.completeness import Outcome, complaints
from benchmarks.comparison.receiver import Receiver
from benchmarks.job import body_of, headers_of
from tests.support.servers.worker import wait_for


def test_ids_of_all_requests_are_counted_missing_and_double_ones_too() -> None:
    with Receiver() as receiver:
        post(receiver, 1, 2, 2)
        wait_for(lambda: len(receiver.ids()) == 3)
        assert receiver.ids() == ["item_1", "item_2", "item_2"]
        assert complaints(3, Outcome(stored=3, right=3, ids=receiver.ids())) == ["2 items called back, not 3"]
        receiver.forget()
        post(receiver, 3)
        wait_for(lambda: len(receiver.ids()) == 1)
        assert complaints(1, Outcome(stored=1, right=1, ids=receiver.ids())) == []


def post(receiver: Receiver, *numbers: int) -> None:
    connection = HTTPConnection("127.0.0.1", receiver.port, timeout=10)
    for number in numbers:
        body = body_of(number, "even", {"characters": 4})
        connection.request("POST", "/hook", body, headers_of(number, body))
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 204
    connection.close()
