"""Which addresses callbacks may reach: by the table, in name lookups, and when the socket opens."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from pipeline.delivery.webhook.ssrf_guard import BlockedAddress, LookupTimeout, Resolved, SsrfGuard, VettingResolver
from pipeline.domain.ip_ranges import is_allowed, is_public

INTERNAL = [
    "0.0.0.0", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254", "168.63.129.16",
    "169.254.169.254", "169.254.170.2", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.31.196.1",
    "192.52.193.1", "192.88.99.1", "192.168.0.1", "192.175.48.1", "198.18.0.1", "198.19.255.255", "198.51.100.1",
    "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::1", "::", "::ffff:127.0.0.1", "::ffff:7f00:1",
    "::ffff:169.254.169.254", "::ffff:8.8.8.8", "::127.0.0.1", "::ffff:0:7f00:1", "::5efe:7f00:1",
    "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::7f00:1", "2002:7f00:1::1", "2001:0:7f00:1::1", "fe80::1",
    "fe80::1%eth0", "fec0::1", "fc00::1", "fd00:ec2::254", "fd20:ce::254", "ff02::1", "100::1", "5f00::1",
    "3fff::1", "4000::1", "2001:db8::1", "2620:4f:8000::1", "2606:4700:4700::1111%eth0", "64:ff9b::808:808%eth0",
]  # fmt: skip
PUBLIC = [
    "1.1.1.1", "8.8.8.8", "172.15.255.255", "172.32.0.1", "100.63.255.255", "100.128.0.1", "192.0.1.1",
    "223.255.255.255", "2606:4700:4700::1111", "2a00:1450::1", "64:ff9b::808:808",
]  # fmt: skip
LOOPBACK = (ip_network("127.0.0.0/8"),)


@pytest.mark.parametrize("address", INTERNAL)
def test_an_internal_address_is_blocked(address: str) -> None:
    assert not is_public(ip_address(address))
    with pytest.raises(BlockedAddress):
        SsrfGuard().check(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_allowed_unless_only_private_ones_are(address: str) -> None:
    assert is_public(ip_address(address))
    SsrfGuard().check(address)
    with pytest.raises(BlockedAddress):
        SsrfGuard(public=False).check(address)


@pytest.mark.parametrize(
    ("address", "network", "allowed"),
    [
        ("127.0.0.1", "127.0.0.0/8", True),
        ("128.0.0.1", "127.0.0.0/8", False),
        ("::1", "127.0.0.0/8", False),
        ("::ffff:127.0.0.1", "127.0.0.0/8", False),
        ("::ffff:127.0.0.1", "::ffff:0:0/96", True),
        ("64:ff9b::a00:1", "10.0.0.0/8", True),
        ("64:ff9b::a00:1", "64:ff9b::/96", False),
        ("fd00::1", "fd00::/8", True),
    ],
)
def test_an_allowed_network_contains_its_own_addresses_only(address: str, network: str, allowed: bool) -> None:
    assert is_allowed(ip_address(address), [ip_network(network)]) is allowed


@pytest.mark.parametrize("text", ["localhost", "", "127.1", "0x7f.1", "2130706433", "127.0.0.1\x00"])
def test_text_that_is_not_an_address_is_blocked_when_the_socket_opens(text: str) -> None:
    with pytest.raises(BlockedAddress):
        SsrfGuard(LOOPBACK).check(text)


def test_a_socket_opens_only_to_an_allowed_address() -> None:
    kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
    SsrfGuard(LOOPBACK).open((*kind, ("127.0.0.1", 80))).close()
    with pytest.raises(BlockedAddress):
        SsrfGuard(LOOPBACK).open((*kind, ("10.0.0.1", 80)))


def test_a_socket_address_with_a_scope_id_is_blocked() -> None:
    info = (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("2606:4700:4700::1111", 443, 0, 2))
    with pytest.raises(BlockedAddress):
        SsrfGuard().open(info)


def test_the_error_does_not_show_the_address() -> None:
    with pytest.raises(BlockedAddress) as caught:
        SsrfGuard().check("10.1.2.3")
    assert "10.1.2.3" not in str(caught.value)


class StaticResolver:
    """Resolves every name to the given addresses; without any it hangs until cancelled."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.calls = 0

    async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> list[Resolved]:
        self.calls += 1
        if not self.addresses:
            await asyncio.Event().wait()
        await asyncio.sleep(0)
        return [
            Resolved(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=0,
            )
            for address in self.addresses
        ]

    async def close(self) -> None:
        return


def resolve(names: StaticResolver, times: int = 1) -> list[str]:
    async def run() -> list[str]:
        resolver = VettingResolver(names, SsrfGuard(), timeout_seconds=0.05 if not names.addresses else 10)
        try:
            results = await asyncio.gather(*(resolver.resolve("name.example", 443) for _ in range(times)))
        finally:
            await resolver.close()
        return [each["host"] for each in results[0]]

    return asyncio.run(run())


def test_a_name_with_public_addresses_resolves() -> None:
    assert resolve(StaticResolver("1.1.1.1", "2606:4700:4700::1111")) == ["1.1.1.1", "2606:4700:4700::1111"]


@pytest.mark.parametrize("bad", ["127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "fe80::1%lo"])
def test_one_private_address_blocks_the_name(bad: str) -> None:
    for addresses in (("1.1.1.1", bad), (bad, "1.1.1.1"), (*["1.1.1.1"] * 299, bad)):
        with pytest.raises(BlockedAddress):
            resolve(StaticResolver(*addresses))


def test_at_most_four_addresses_are_tried_alternating_between_families() -> None:
    v4 = [f"1.1.1.{number}" for number in range(1, 200)]
    v6 = [f"2606:4700:4700::{number}" for number in range(1, 200)]
    assert resolve(StaticResolver(*v6, *v4)) == ["2606:4700:4700::1", "1.1.1.1", "2606:4700:4700::2", "1.1.1.2"]
    assert resolve(StaticResolver(*v4)) == v4[:4]


def test_concurrent_lookups_of_one_name_share_one_query() -> None:
    names = StaticResolver("1.1.1.1")
    resolve(names, times=50)
    assert names.calls == 1


def test_a_lookup_that_hangs_times_out() -> None:
    with pytest.raises(LookupTimeout):
        resolve(StaticResolver())
