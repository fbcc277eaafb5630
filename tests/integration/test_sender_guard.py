"""Private addresses get no connection, whatever way they are named."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from pipeline.delivery.client import ClientOptions
from pipeline.delivery.options import SenderOptions
from pipeline.domain.schedule import Schedule
from pipeline.storage.engine import Database
from tests.receivers.names import Names
from tests.receivers.owed import LOOPBACK, Sending, attempts, deliveries, options, owe, states, wait_until
from tests.receivers.scripted import Scripted, answer

LITERALS = [
    *["127.0.0.1", "127.1", "127.0.0.1.", "0", "0.0.0.0", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1"],
    *["017700000001", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[::ffff:0:7f00:1]"],
    *["[::5efe:7f00:1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::1]", "[fe80::1%25lo]", "localhost", "LOCALHOST"],
    *["localhost.", "foo.localhost", "user:pw@127.0.0.1", "example.com@127.0.0.1", "%31%32%37.0.0.1"],
    *["①②⑦.⓪.⓪.①", "127。0。0。1", "ⓛocalhost", "127.0.0.1%2f@example.com"],
]
REFUSED = {"ssrf_blocked", "config_error"}
NO_RETRY = options(delays=[])


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_no_spelling_of_this_machine_gets_a_connection(database: Database, scheme: str) -> None:
    with Scripted(answer()) as receiver:
        owe(
            database,
            [(f"{scheme}://{host}:{receiver.port}/", f"{scheme}://{number}:1") for number, host in enumerate(LITERALS)],
        )
        with Sending(database, allow=(), options=NO_RETRY):
            wait_until(lambda: states(database) == ["dead"] * len(LITERALS))
    assert receiver.connections == 0
    assert {row["last_error"] for row in deliveries(database)} == REFUSED
    assert {row["status"] for row in attempts(database)} == {None}


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["1.1.1.1", "127.0.0.1"],
        ["127.0.0.1", "1.1.1.1"],
        ["::ffff:127.0.0.1"],
        ["::ffff:10.0.0.1"],
        ["64:ff9b::7f00:1"],
        ["169.254.169.254"],
        [*["1.1.1.1"] * 299, "127.0.0.1"],
    ],
)
def test_a_name_with_a_private_answer_gets_no_connection(database: Database, addresses: list[str]) -> None:
    with Scripted(answer()) as receiver:
        owe(database, [(f"https://name.example:{receiver.port}/", "https://name.example:1")])
        with Sending(database, allow=(), options=NO_RETRY, resolver=Names(addresses)):
            wait_until(lambda: states(database) == ["dead"])
    assert receiver.connections == 0
    (attempt,) = attempts(database)
    assert attempt["error_type"] == "ssrf_blocked"
    assert not any(address in attempt["error_message"] for address in addresses)


def test_a_name_that_turns_private_is_asked_once_a_connection_and_never_again_trusted(database: Database) -> None:
    names = Names(["127.0.0.1"], ["127.0.0.2"])
    with Scripted(answer(500, "connection: close")) as receiver:
        owe(database, [(f"http://name.example:{receiver.port}/", "http://name.example:1")])
        with Sending(
            database,
            allow=(ip_network("127.0.0.1/32"),),
            options=options(delays=options().schedule.delays[:1]),
            resolver=names,
        ):
            wait_until(lambda: states(database) == ["dead"])
    assert (receiver.connections, names.asked) == (1, ["name.example"] * 2)
    assert [row["error_type"] for row in attempts(database)] == ["http_500", "ssrf_blocked"]


def test_plain_http_to_a_public_answer_is_refused_even_where_networks_are_allowed(database: Database) -> None:
    owe(database, [("http://name.example:8080/", "http://name.example:8080")])
    with Sending(database, options=NO_RETRY, resolver=Names(["1.1.1.1"])):
        wait_until(lambda: states(database) == ["dead"])
    assert deliveries(database)[0]["last_error"] == "ssrf_blocked"


def test_a_private_name_is_reached_where_its_network_is_allowed(database: Database) -> None:
    with Scripted(answer()) as receiver:
        owe(database, [(f"http://crm:{receiver.port}/", "http://crm:1")])
        with Sending(database, allow=LOOPBACK, resolver=Names(["127.0.0.1"])):
            wait_until(lambda: states(database) == ["delivered"])
    assert receiver.requests[0].headers["Host"] == f"crm:{receiver.port}"


def test_a_refused_address_is_tried_four_times_in_all(database: Database) -> None:
    owe(database, [("https://10.0.0.1/", "https://10.0.0.1:443")])
    with Sending(database, options=options(delays=options().schedule.delays * 5)):
        wait_until(lambda: states(database) == ["dead"])
    assert deliveries(database)[0]["attempt"] == 4


def test_a_lookup_that_hangs_is_cut_and_delays_no_other_name(database: Database) -> None:
    quick = SenderOptions(client=ClientOptions(10, connect_seconds=0.5), schedule=Schedule(delays=()))
    with Scripted(answer()) as receiver:
        good = (f"http://127.0.0.1:{receiver.port}/", "http://127.0.0.1:1")
        owe(database, [("https://hangs.example/", "https://hangs.example:443"), good])
        with Sending(database, options=quick, resolver=Names([])):
            wait_until(lambda: states(database)[1] == "delivered")
            wait_until(lambda: states(database)[0] == "dead")
    assert deliveries(database)[0]["last_error"] == "dns_timeout"


def test_a_name_that_does_not_exist_has_its_code(database: Database) -> None:
    owe(database, [("https://nowhere.invalid/", "https://nowhere.invalid:443")])
    with Sending(database, options=NO_RETRY):
        wait_until(lambda: states(database) == ["dead"])
    assert deliveries(database)[0]["last_error"] in ("dns_not_found", "dns_failure")


@pytest.mark.parametrize("port", [22, 25, 6379, 5432, 9200])
def test_ports_of_other_services_are_refused(database: Database, port: int) -> None:
    owe(database, [(f"http://127.0.0.1:{port}/", f"http://127.0.0.1:{port}")])
    with Sending(database, options=NO_RETRY):
        wait_until(lambda: states(database) == ["dead"])
    assert deliveries(database)[0]["last_error"] == "ssrf_blocked"
