"""Which IP addresses may be reached on behalf of others: public ones, and the networks that a deployment allows."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# Not `ipaddress.is_global`: in some Python versions it accepts 192.0.0.192 (Oracle's metadata service), multicast, and
# IPv6 addresses that embed private IPv4 ones. Maintained by hand from the IANA special-purpose address registries.
_NOT_PUBLIC_V4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "168.63.129.16/32",  # Azure's WireServer: a public number, but an internal service
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.31.196.0/24",
            "192.52.193.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "192.175.48.0/24",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",
            "240.0.0.0/4",
        ),
    )
)
_UNICAST_V6 = IPv6Network("2000::/3")
_NOT_PUBLIC_V6 = tuple(map(IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")))
_NAT64 = IPv6Network("64:ff9b::/96")


def is_public(address: Address) -> bool:
    """Return whether an address belongs to the public Internet."""
    address = _unwrap_nat64(address)
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_V4)
    if address.scope_id is not None or address not in _UNICAST_V6:
        return False
    return not any(address in network for network in _NOT_PUBLIC_V6)


def is_allowed(address: Address, allow: Iterable[Network]) -> bool:
    """Return whether one of the `allow` networks contains an address.

    An IPv4 network never contains IPv4-mapped IPv6 addresses.
    """
    address = _unwrap_nat64(address)
    return any(address.version == network.version and address in network for network in allow)


def _unwrap_nat64(address: Address) -> Address:
    # On an IPv6-only network, every IPv4 receiver is reached through NAT64, so the embedded address decides.
    if isinstance(address, IPv6Address) and address.scope_id is None and address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address
