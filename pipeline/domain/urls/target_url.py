"""URLs of message targets: queues and streams that take one event per message."""

from __future__ import annotations

from urllib.parse import unquote

from pipeline.domain.urls.connection_url import SCHEME as CONNECTION
from pipeline.domain.urls.connection_url import find_credentials, split_connection_url
from pipeline.domain.urls.host import UrlProblem, bracketed, check_characters, parse_host, parse_port, split_url

#: Ports by scheme, of the targets whose URL names a host.
DEFAULT_PORTS = {"amqp": 5672, "amqps": 5671, "redis": 6379, "rediss": 6379, "nats": 4222, "tls": 4222}
#: Every scheme of a message target. Kafka is reached only through a connection: its brokers name other brokers.
SCHEMES = frozenset({*DEFAULT_PORTS, "kafka", "sqs", CONNECTION})

#: What may stand in a routing key, a subject or a stream.
PLACEHOLDERS = ("label", "state", "type", "batch_id")


def parse_target(url: str) -> tuple[str, str, str, str, int]:
    """Return the normalized URL of a target, its endpoint, its scheme, its host and its port.

    The endpoint is `scheme://host:port`, `conn://NAME` or `sqs://region/account/queue`. The path is not checked: the
    route is parsed where a message is to be sent.

    Raises:
        UrlProblem: it is malformed, ambiguous, or contains credentials.
    """
    check_characters(_without_placeholders(url))
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    if not separator:
        raise UrlProblem(f"is not an absolute URL; write {scheme}://…")
    secret = find_credentials(url)
    if secret is not None:
        raise UrlProblem(f"contains {secret}; put the password into a connection: PIPELINE_CONNECTIONS")
    if scheme == CONNECTION:
        return _parse_connection(f"{scheme}://{rest}")
    if scheme == "sqs":
        return _parse_queue(rest)
    if scheme == "kafka":
        raise UrlProblem(
            "is a Kafka URL; name the brokers in a connection, PIPELINE_CONNECTIONS, and write conn://NAME/topic"
        )
    parts = split_url(url)
    host, port = parse_host(parts.netloc), parse_port(parts, DEFAULT_PORTS[scheme])
    suffix = "" if port == DEFAULT_PORTS[scheme] else f":{port}"
    query = f"?{parts.query}" if parts.query else ""
    origin = f"{scheme}://{bracketed(host)}:{port}"
    return f"{scheme}://{bracketed(host)}{suffix}{parts.path}{query}", origin, scheme, host, port


def reduce_value(value: object) -> str:
    """Return a value as it may stand in a routing key, a subject or a stream.

    Other characters than letters, digits, `_` and `-` become `_`: `*`, `#`, `>` and `.` mean something to brokers. At
    most 64 characters; nothing becomes `none`.
    """
    text = "" if value is None else str(value)
    reduced = "".join(each if each.isascii() and (each.isalnum() or each in "-_") else "_" for each in text[:_LONGEST])
    return reduced or "none"


_LONGEST = 64


def has_placeholders(url: str) -> bool:
    """Return whether something has to be filled into a URL before a message can be sent there."""
    return "{" in url


def fill_placeholders(url: str, values: dict[str, object]) -> str:
    """Return a target's URL with the values of an event. A value that is missing becomes `none`."""
    for name in PLACEHOLDERS:
        mark = f"{{{name}}}"
        if mark in url:
            url = url.replace(mark, reduce_value(values.get(name)))
    return url


def _without_placeholders(url: str) -> str:
    path = url.partition("?")[0]
    for name in PLACEHOLDERS:
        path = path.replace(f"{{{name}}}", "")
    if "{" in path:
        known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
        raise UrlProblem(f"contains '{{', and no placeholder that is known; these are {known}")
    return path + url[len(url.partition("?")[0]) :]


def _parse_connection(url: str) -> tuple[str, str, str, str, int]:
    parsed = split_connection_url(url)
    return str(parsed), parsed.origin, CONNECTION, parsed.name, 0


def _parse_queue(rest: str) -> tuple[str, str, str, str, int]:
    path, mark, query = rest.partition("?")
    parts = path.split("/")
    if len(parts) != 3 or not all(parts) or unquote(path) != path:
        raise UrlProblem("does not name a queue; write sqs://REGION/ACCOUNT/QUEUE")
    region = parts[0].lower()
    parse_host(region)
    place = f"sqs://{region}/{parts[1]}/{parts[2]}"
    return f"{place}{mark}{query}", place, "sqs", region, 0
