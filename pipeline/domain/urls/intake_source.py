"""Where the messages of an intake come from: topics, streams, queues, and outbox tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qsl, unquote

from pipeline.domain.did_you_mean import quote_name
from pipeline.domain.urls.connection_url import find_credentials, is_connection_url, split_connection_url
from pipeline.domain.urls.host import UrlProblem, bracketed, parse_host, parse_port, split_url
from pipeline.errors import InvalidArgument, escape_braces

REDIS_PORT = 6379
POSTGRESQL_PORT = 5432
KAFKA_PORT = 9092
NATS_PORT = 4222
AMQP_PORTS = {"amqp": 5672, "amqps": 5671}
_READABLE = (
    "intakes read kafka://HOST/TOPIC, redis://HOST/DATABASE/STREAM, nats://HOST/STREAM, amqp://HOST/VHOST/QUEUE, "
    "sqs://REGION/ACCOUNT/QUEUE, postgresql://HOST/DATABASE/TABLE and conn://NAME/…"
)
_TOPIC_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
_LONGEST_TOPIC = 249


@dataclass(frozen=True, slots=True)
class StreamPlace:
    """A Redis stream."""

    host: str
    port: int
    has_tls: bool
    database: int
    stream: str

    @property
    def name(self) -> str:
        """What an intake that reads it is called unless it has a name."""
        return self.stream


@dataclass(frozen=True, slots=True)
class OutboxPlace:
    """A table whose rows are messages.

    Args:
        schema: None: the first of the search path.
        mark: the column that is set for rows that were accepted; None: they are deleted.
    """

    host: str
    port: int
    database: str
    schema: str | None
    table: str
    mark: str | None = None

    @property
    def name(self) -> str:
        """What an intake that reads it is called unless it has a name."""
        return self.table


@dataclass(frozen=True, slots=True)
class TopicPlace:
    """A Kafka topic.

    Args:
        hosts: `host:port` of the brokers that are asked first, separated by commas.
    """

    hosts: str
    topic: str

    @property
    def name(self) -> str:
        """What an intake that reads it is called unless it has a name."""
        return self.topic


@dataclass(frozen=True, slots=True)
class SubjectPlace:
    """A stream of NATS JetStream.

    Args:
        filter: the subjects that are read, with wildcards; None: all of the stream.
    """

    host: str
    port: int
    has_tls: bool
    stream: str
    filter: str | None = None

    @property
    def name(self) -> str:
        """What an intake that reads it is called unless it has a name."""
        return self.stream


@dataclass(frozen=True, slots=True)
class QueuePlace:
    """A queue of RabbitMQ."""

    host: str
    port: int
    has_tls: bool
    vhost: str
    queue: str

    @property
    def name(self) -> str:
        """What an intake that reads it is called unless it has a name."""
        return self.queue


@dataclass(frozen=True, slots=True)
class SqsPlace:
    """A queue of SQS."""

    region: str
    account: str
    queue: str

    @property
    def name(self) -> str:
        """What an intake that reads it is called unless it has a name."""
        return self.queue


IntakePlace = StreamPlace | OutboxPlace | TopicPlace | SubjectPlace | QueuePlace | SqsPlace
#: Places that hand over everything they hold: nobody chooses where reading begins.
HANDED_OVER = OutboxPlace, QueuePlace, SqsPlace


def split_lines(url: str) -> tuple[str, bool]:
    """Return the URL of a source without `?lines`, and whether it had that: each line of a message is an item."""
    address, _, query = url.partition("?")
    given = query.split("&") if query else []
    kept = "&".join(each for each in given if each not in ("lines", "lines="))
    return (f"{address}?{kept}" if kept else address), len(given) > len(kept.split("&") if kept else [])


def check_intake_source(url: str) -> None:
    """Check the URL of a source as somebody wrote it; that of a connection is not known yet.

    Raises:
        InvalidArgument: it contains credentials, or names nothing that messages are read from.
    """
    try:
        secret = find_credentials(url)
        if secret is not None:
            raise UrlProblem(f"contains {secret}; put it into a connection: PIPELINE_CONNECTIONS")
        if is_connection_url(url):
            split_connection_url(url)
            return
        _parse(url)
    except UrlProblem as problem:
        raise _invalid(url, problem) from None


def parse_intake_place(url: str, shown: str) -> IntakePlace:
    """Return what a URL without `conn://` names.

    Args:
        shown: the URL that messages name.

    Raises:
        InvalidArgument: messages are not read from there.
    """
    try:
        return _parse(url)
    except UrlProblem as problem:
        raise _invalid(shown, problem) from None


def _invalid(url: str, problem: UrlProblem) -> InvalidArgument:
    shown = quote_name(url.partition("?")[0].rpartition("@")[2])
    return InvalidArgument("{0} " + escape_braces(f"{shown} {problem}"), "SOURCE")


def _parse(url: str) -> IntakePlace:
    parts = split_url(url)
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    path = [unquote(each) for each in parts.path.removeprefix("/").split("/")]
    parse = _PARSERS.get(parts.scheme)
    if parse is None:
        raise UrlProblem(f"has the scheme {parts.scheme!r}; {_READABLE}")
    return parse(parts, path, given)


def _redis(parts: SplitResult, path: list[str], given: dict[str, str]) -> StreamPlace:
    _refuse_unknown(given, ())
    if len(path) != 2 or not path[0].isdecimal() or not path[1]:
        raise UrlProblem("does not name a stream; write redis://HOST/DATABASE/STREAM, such as redis://h/0/tickets")
    port = parse_port(parts, REDIS_PORT)
    return StreamPlace(parse_host(parts.netloc), port, parts.scheme == "rediss", int(path[0]), path[1])


def _postgresql(parts: SplitResult, path: list[str], given: dict[str, str]) -> OutboxPlace:
    _refuse_unknown(given, ("mark",))
    if len(path) != 2 or not all(path):
        raise UrlProblem("does not name a table; write postgresql://HOST/DATABASE/SCHEMA.TABLE")
    schema, _, table = path[1].rpartition(".")
    host, port = parse_host(parts.netloc), parse_port(parts, POSTGRESQL_PORT)
    return OutboxPlace(host, port, path[0], schema or None, table, given.get("mark") or None)


def _kafka(parts: SplitResult, path: list[str], given: dict[str, str]) -> TopicPlace:
    _refuse_unknown(given, ())
    topic = path[0]
    is_fit = 0 < len(topic) <= _LONGEST_TOPIC and _TOPIC_CHARACTERS.issuperset(topic) and topic not in (".", "..")
    if len(path) != 1 or not is_fit:
        raise UrlProblem("does not name a topic; write kafka://HOST:9092/TOPIC, several hosts separated by commas")
    hosts = [split_url(f"kafka://{each}") for each in parts.netloc.split(",")]
    brokers = [f"{bracketed(parse_host(each.netloc))}:{parse_port(each, KAFKA_PORT)}" for each in hosts]
    return TopicPlace(",".join(brokers), topic)


def _nats(parts: SplitResult, path: list[str], given: dict[str, str]) -> SubjectPlace:
    _refuse_unknown(given, ("filter",))
    if len(path) != 1 or not path[0] or not _is_nats_name(path[0]):
        raise UrlProblem("does not name a stream; write nats://HOST/STREAM, with ?filter=tickets.> for some subjects")
    port = parse_port(parts, NATS_PORT)
    subjects = given.get("filter") or None
    return SubjectPlace(parse_host(parts.netloc), port, parts.scheme == "tls", path[0], subjects)


def _is_nats_name(name: str) -> bool:
    return name.isprintable() and not set(name) & set(" .*>/\\")


def _amqp(parts: SplitResult, path: list[str], given: dict[str, str]) -> QueuePlace:
    _refuse_unknown(given, ())
    if len(path) != 2 or not all(path):
        raise UrlProblem(
            "does not name a queue; write amqp://HOST/VHOST/QUEUE (%2F is the virtual host '/', as in "
            "amqp://h/%2F/tickets)"
        )
    host, port = parse_host(parts.netloc), parse_port(parts, AMQP_PORTS[parts.scheme])
    return QueuePlace(host, port, parts.scheme == "amqps", path[0], path[1])


def _sqs(parts: SplitResult, path: list[str], given: dict[str, str]) -> SqsPlace:
    _refuse_unknown(given, ())
    if len(path) != 2 or not all(path):
        raise UrlProblem("does not name a queue; write sqs://REGION/ACCOUNT/QUEUE")
    return SqsPlace(parse_host(parts.netloc), path[0], path[1])


_PARSERS: Mapping[str, Callable[[SplitResult, list[str], dict[str, str]], IntakePlace]] = {
    "redis": _redis,
    "rediss": _redis,
    "postgresql": _postgresql,
    "kafka": _kafka,
    "nats": _nats,
    "tls": _nats,
    "amqp": _amqp,
    "amqps": _amqp,
    "sqs": _sqs,
}


def _refuse_unknown(given: dict[str, str], known: tuple[str, ...]) -> None:
    for name in given:
        if name not in known:
            takes = f"it takes {', '.join(known)}" if known else "it takes none"
            raise UrlProblem(f"has the parameter {quote_name(name)}; {takes}")
