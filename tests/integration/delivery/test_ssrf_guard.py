"""Private addresses get no connection, whatever way they are named."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest

from pipeline.database.engine import Database
from pipeline.delivery.webhook.options import ClientOptions, SenderOptions
from pipeline.domain.retry_schedule import Schedule
from tests.support.receivers.names import Names
from tests.support.receivers.owed import LOOPBACK, Sending, attempts, deliveries, options, owe, states, wait_until
from tests.support.receivers.scripted import Scripted, answer

#: Every place of the specification's list; `{port}` is that of a receiver on this machine.
HOSTS = [
    *["127.0.0.1", "127.1", "127.0.0.1.", "0", "0.0.0.0", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1"],
    *["017700000001", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:169.254.169.254]"],
    *["[0:0:0:0:0:ffff:a9fe:a9fe]", "[::127.0.0.1]", "[::ffff:0:7f00:1]", "[::5efe:7f00:1]", "[64:ff9b::7f00:1]"],
    *["[64:ff9b::a9fe:a9fe]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::1]", "[2001:0:7f00:1::1]", "[fe80::1%25eth0]"],
    *["[fe80::1%lo]", "[fe80::1%25lo]", "[fec0::1]", "[fc00::1]", "[fd00:ec2::254]", "[fd20:ce::254]", "[ff02::1]"],
    *["[100::1]", "[5f00::1]", "[3fff::1]", "[4000::1]", "169.254.169.254", "169.254.170.2", "100.100.100.200"],
    *["192.0.0.192", "168.63.129.16", "localhost", "LOCALHOST", "localhost.", "foo.localhost"],
    *["user:pw@127.0.0.1", "example.com@127.0.0.1", "%31%32%37.0.0.1", "①②⑦.⓪.⓪.①", "127。0。0。1", "ⓛocalhost"],
    *["127.0.0.1%2f@example.com", "127.0.0.1\\@example.com", "example.com\\@127.0.0.1", "127.0.0.1#@example.com"],
]
URLS = [
    *[f"{scheme}://{host}:{{port}}/" for host in HOSTS for scheme in ("http", "https")],
    *["http:/127.0.0.1:{port}/", "//127.0.0.1:{port}/", "ht\ttp://127.0.0.1:{port}/", "http://127.0.0.1:{port}\t/"],
    *["http://127.0.0.1:{port} 80/", "http://127.0.0.1:80 {port}/", "http://h:0/", "http://h:65536/", "http://a%00b/"],
    *["http://[::1", "http://[::1:{port}", "file:///etc/passwd", "gopher://127.0.0.1:{port}/_x"],
    *["unix:/run/x.sock", "data:text/plain,x", "http://127.0.0.1:{port}#@example.com/"],
]
REFUSED = {"ssrf_blocked", "config_error"}
NO_RETRY = options(delays=[])


@pytest.fixture
def connects(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The addresses that anything asynchronous connects to; only those of this machine are really reached."""
    seen: list[tuple[Any, ...]] = []
    connect = asyncio.selector_events.BaseSelectorEventLoop.sock_connect

    async def stub(loop: Any, sock: socket.socket, address: tuple[Any, ...]) -> None:
        seen.append(address)
        if not ip_address(address[0]).is_loopback:
            raise ConnectionRefusedError
        await connect(loop, sock, address)

    monkeypatch.setattr(asyncio.selector_events.BaseSelectorEventLoop, "sock_connect", stub)
    return seen


def test_no_way_to_name_an_internal_place_gets_a_connection(
    database: Database, connects: list[tuple[Any, ...]]
) -> None:
    with Scripted(answer()) as receiver:
        urls = [url.replace("{port}", str(receiver.port)) for url in URLS]
        owe(database, [(url, f"http://{number}:1") for number, url in enumerate(urls)])
        with Sending(database, allow=(), options=NO_RETRY):
            wait_until(lambda: states(database) == ["dead"] * len(urls))
    assert (receiver.connections, connects) == (0, [])
    assert {row["last_error"] for row in deliveries(database)} == REFUSED
    assert {row["status"] for row in attempts(database)} == {None}


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "172.32.0.1", "100.128.0.1", "192.0.1.1", "2606:4700:4700::1111", "64:ff9b::808:808"]
)
@pytest.mark.parametrize("named", [False, True])
def test_a_public_address_is_connected_to_whether_it_is_written_or_resolved(
    database: Database, connects: list[tuple[Any, ...]], address: str, named: bool
) -> None:
    host = "name.example" if named else f"[{address}]" if ":" in address else address
    owe(database, [(f"https://{host}/", f"https://{host}:443")])
    with Sending(database, allow=(), options=NO_RETRY, resolver=Names([address])):
        wait_until(lambda: states(database) == ["dead"])
    assert [each[:2] for each in connects] == [(address, 443)]
    assert deliveries(database)[0]["last_error"] == "connection_refused"


def test_at_most_four_addresses_of_a_name_are_tried(database: Database, connects: list[tuple[Any, ...]]) -> None:
    owe(database, [("https://name.example/", "https://name.example:443")])
    with Sending(database, allow=(), options=NO_RETRY, resolver=Names([f"1.1.1.{last}" for last in range(1, 255)])):
        wait_until(lambda: states(database) == ["dead"])
    assert {address for address, _ in connects} == {f"1.1.1.{last}" for last in range(1, 5)}


def test_a_name_of_cloud_metadata_gets_no_connection(database: Database, connects: list[tuple[Any, ...]]) -> None:
    owe(database, [("https://metadata.google.internal/", "https://metadata.google.internal:443")])
    with Sending(database, allow=(), options=NO_RETRY, resolver=Names(["169.254.169.254"])):
        wait_until(lambda: states(database) == ["dead"])
    assert (connects, deliveries(database)[0]["last_error"]) == ([], "ssrf_blocked")


def test_proxies_and_passwords_of_the_environment_are_ignored(
    database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login ada password lovelace\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with Scripted(answer()) as receiver, Scripted(answer()) as proxy:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
            monkeypatch.setenv(name.lower(), f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("NO_PROXY", "")
        owe(database, [(receiver.url, "http://127.0.0.1:1")])
        with Sending(database):
            wait_until(lambda: states(database) == ["delivered"])
    assert proxy.connections == 0
    assert "authorization" not in {name.lower() for name in receiver.requests[0].names}


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
