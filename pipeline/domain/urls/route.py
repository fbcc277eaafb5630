"""Routes: what a target's URL says about the message, once the host is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote

from pipeline.domain.did_you_mean import hint
from pipeline.domain.urls.host import UrlProblem
from pipeline.domain.urls.target_url import PLACEHOLDERS

#: What RabbitMQ's own HTTP API calls the exchange without a name, which routes to the queue of that name.
DEFAULT_EXCHANGE = "amq.default"
_TOPIC_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
_LONGEST_SHORT_TEXT, _LONGEST_TOPIC, _LONGEST_STREAM = 255, 249, 1_024
_MOST_ENTRIES = 10**12


@dataclass(frozen=True, slots=True)
class AmqpRoute:
    """A virtual host of RabbitMQ, an exchange there (empty: the default one), and the routing key."""

    vhost: str
    exchange: str
    routing_key: str


@dataclass(frozen=True, slots=True)
class RedisRoute:
    """A database of Redis, a stream there, and about how many entries it keeps; None: all."""

    database: int
    stream: str
    maxlen: int | None


@dataclass(frozen=True, slots=True)
class NatsRoute:
    """A subject that a stream of JetStream takes."""

    subject: str


@dataclass(frozen=True, slots=True)
class KafkaRoute:
    """A topic, and what chooses the partition: `item` (the item's key, or its id) or `batch`."""

    topic: str
    key: str


@dataclass(frozen=True, slots=True)
class SqsRoute:
    """A queue, and what groups the messages of a FIFO queue: `batch` or `key` (of the item)."""

    region: str
    account: str
    queue: str
    group: str

    @property
    def is_fifo(self) -> bool:
        return self.queue.endswith(".fifo")


Route = AmqpRoute | RedisRoute | NatsRoute | KafkaRoute | SqsRoute


def parse_route(url: str) -> Route:
    """Return the route of a target's URL. Its host may still contain `${NAME}`.

    Raises:
        UrlProblem: something is missing, or the protocol could not take it.
    """
    scheme, _, rest = url.partition("://")
    before, _, query = rest.partition("?")
    path = before.partition("/")[2]
    given = dict(parse_qsl(query, keep_blank_values=True))
    return _PARSERS[scheme](before if scheme == "sqs" else path, given)


def _amqp(path: str, given: Mapping[str, str]) -> AmqpRoute:
    parts = [unquote(part) for part in path.split("/")]
    if len(parts) != 3 or not all(parts):
        raise UrlProblem(
            "does not name a virtual host, an exchange and a routing key; write "
            f"amqps://HOST/VHOST/EXCHANGE/ROUTING.KEY (%2F is the virtual host '/', {DEFAULT_EXCHANGE} the default "
            "exchange, whose routing key is the name of a queue)"
        )
    _refuse_unknown(given, ())
    vhost, exchange, key = parts
    if max(map(len, map(str.encode, parts))) > _LONGEST_SHORT_TEXT:
        raise UrlProblem(f"has a part of more than {_LONGEST_SHORT_TEXT} bytes, which RabbitMQ does not take")
    _refuse_placeholders((vhost, exchange), "contains a placeholder outside its routing key")
    return AmqpRoute(vhost, "" if exchange == DEFAULT_EXCHANGE else exchange, key)


def _redis(path: str, given: Mapping[str, str]) -> RedisRoute:
    database, _, stream = path.partition("/")
    stream = unquote(stream)
    if not (database.isascii() and database.isdigit() and len(database) <= 4) or not stream:
        raise UrlProblem(
            "does not name a database by its number and a stream; write rediss://HOST/0/STREAM, with ?maxlen=1000000 "
            "if old entries may go"
        )
    if len(stream.encode()) > _LONGEST_STREAM:
        raise UrlProblem(f"names a stream of more than {_LONGEST_STREAM} bytes")
    _refuse_unknown(given, ("maxlen",))
    maxlen = given.get("maxlen")
    if maxlen is not None and not (maxlen.isascii() and maxlen.isdigit() and 1 <= len(maxlen) <= 13):
        raise UrlProblem("has a maxlen that is no number of entries; write ?maxlen=1000000")
    if maxlen is not None and not 1 <= int(maxlen) <= _MOST_ENTRIES:
        raise UrlProblem(f"has a maxlen that is not from 1 to {_MOST_ENTRIES:,}")
    return RedisRoute(int(database), stream, None if maxlen is None else int(maxlen))


def _nats(path: str, given: Mapping[str, str]) -> NatsRoute:
    subject = unquote(path)
    _refuse_unknown(given, ())
    tokens = subject.split(".")
    is_fit = subject.isprintable() and not set(subject) & set(" */>") and "/" not in subject
    if not is_fit or not all(tokens) or len(subject.encode()) > _LONGEST_SHORT_TEXT or subject.startswith("$"):
        raise UrlProblem(
            "does not name a subject; write nats://HOST/results.new, without wildcards, at most "
            f"{_LONGEST_SHORT_TEXT} bytes"
        )
    return NatsRoute(subject)


def _kafka(path: str, given: Mapping[str, str]) -> KafkaRoute:
    if not path or len(path) > _LONGEST_TOPIC or not _TOPIC_CHARACTERS.issuperset(path) or path in (".", ".."):
        raise UrlProblem("does not name a topic; write conn://NAME/TOPIC, with letters, digits, '.', '_' and '-'")
    return KafkaRoute(path, _choice(given, "key", ("item", "batch")))


def _sqs(path: str, given: Mapping[str, str]) -> SqsRoute:
    region, account, queue = (path.split("/") + ["", "", ""])[:3]
    if not (region and account and queue) or path.count("/") != 2:
        raise UrlProblem("does not name a queue; write sqs://REGION/ACCOUNT/QUEUE")
    _refuse_placeholders((path,), "contains a placeholder, which the name of a queue cannot")
    return SqsRoute(region, account, queue, _choice(given, "group", ("batch", "key")))


_PARSERS: Mapping[str, Callable[[str, Mapping[str, str]], Route]] = {
    "amqp": _amqp,
    "amqps": _amqp,
    "redis": _redis,
    "rediss": _redis,
    "nats": _nats,
    "tls": _nats,
    "kafka": _kafka,
    "sqs": _sqs,
}

#: Schemes of URLs, of targets and of connections, whose messages can be sent.
ROUTED = frozenset(_PARSERS)


def _choice(given: Mapping[str, str], name: str, choices: Sequence[str]) -> str:
    _refuse_unknown(given, (name,))
    chosen = given.get(name, choices[0])
    if chosen not in choices:
        raise UrlProblem(f"has {name}={chosen}; choose from {', '.join(choices)}")
    return chosen


def _refuse_unknown(given: Mapping[str, str], known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            takes = f"it takes {', '.join(known)}" if known else "it takes none"
            raise UrlProblem(f"has the unknown parameter {name[:60]!r}; {takes}{hint(name, known)}")


def _refuse_placeholders(parts: Sequence[str], problem: str) -> None:
    if any(f"{{{name}}}" in part for part in parts for name in PLACEHOLDERS):
        raise UrlProblem(problem)
