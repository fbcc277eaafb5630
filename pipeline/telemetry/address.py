"""The address on which metrics are shown, and how children of a pool learn where to report theirs."""

from __future__ import annotations

#: Environment variable in which a process tells the children of its pool the socket to report to. No setting.
REPORT_TO = "_PIPELINE_METRICS_TO"


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
