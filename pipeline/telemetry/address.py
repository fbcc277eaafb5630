"""The address on which metrics are shown."""

from __future__ import annotations


def parse_address(text: str) -> tuple[str, int]:
    """Return the host and the port of `host:port` or `[::1]:port`.

    Raises:
        ValueError: it is no address.
    """
    host, separator, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (separator and host and port.isascii() and port.isdigit() and int(port) < 65_536):
        raise ValueError(f"{text!r} is not an address; write host:port, such as 127.0.0.1:9464")
    return host, int(port)
