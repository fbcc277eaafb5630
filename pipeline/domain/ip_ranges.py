"""Which addresses a callback may reach: public ones, and those a deployment allows by CIDR."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# A table of our own: `ipaddress.is_global` of some Python versions lets through 192.0.0.192 (Oracle's metadata),
# multicast, and IPv6 addresses that carry private IPv4 ones. Kept by hand after the IANA special-purpose registries.
_NOT_PUBLIC_V4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "168.63.129.16/32",  # Azure's wire server: globally routed by number, internal by use
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
    """Say whether an address is one of the open Internet."""
    address = _meant(address)
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_V4)
    if address.scope_id is not None or address not in _UNICAST_V6:
        return False
    return not any(address in network for network in _NOT_PUBLIC_V6)


def is_allowed(address: Address, allow: Iterable[Network]) -> bool:
    """Say whether a deployment's CIDRs name an address. An IPv4 range never covers IPv4-mapped IPv6 addresses."""
    address = _meant(address)
    return any(address.version == network.version and address in network for network in allow)


def _meant(address: Address) -> Address:
    # On a network that has only IPv6, every IPv4 receiver is reached through NAT64: the carried address decides.
    if isinstance(address, IPv6Address) and address.scope_id is None and address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address
