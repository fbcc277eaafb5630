"""URLs of message targets: endpoints, routes, placeholders, and what is refused."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.connections.connection import ConnectionUse, NamedConnection, NamedConnections
from pipeline.connections.connections_file import read_connections
from pipeline.connections.destinations import Destinations
from pipeline.domain.callback_url import ForbiddenCallbackUrl, InvalidCallbackUrl, parse_callback_url
from pipeline.domain.urls.route import AmqpRoute, KafkaRoute, NatsRoute, RedisRoute, Route, SqsRoute, parse_route
from pipeline.domain.urls.target_url import fill_placeholders, reduce_value
from pipeline.errors import InvalidInput

CONNECTIONS = NamedConnections(
    {
        "bus": NamedConnection("bus", "amqps://mq.example/prod"),
        "cache": NamedConnection("cache", "redis://${HOST}/0"),
        "log": NamedConnection("log", "kafka://h1:9092,h2:9092"),
        "lake": NamedConnection("lake", "s3://acme"),
        "in": NamedConnection("in", "amqps://mq.example/prod", frozenset({ConnectionUse.INTAKES})),
    },
    "connections.toml",
)


@pytest.mark.parametrize(
    ("url", "normal", "origin"),
    [
        ("AMQPS://MQ.Example/prod/x/k", "amqps://mq.example/prod/x/k", "amqps://mq.example:5671"),
        ("amqp://h:5672/%2F/x/k", "amqp://h/%2F/x/k", "amqp://h:5672"),
        ("redis://[::1]:7000/0/s?maxlen=5", "redis://[::1]:7000/0/s?maxlen=5", "redis://[::1]:7000"),
        ("rediss://h/0/{label}", "rediss://h/0/{label}", "rediss://h:6379"),
        ("nats://h/results.{label}.{state}", "nats://h/results.{label}.{state}", "nats://h:4222"),
        ("conn://bus/x/k", "conn://bus/x/k", "conn://bus"),
        ("conn://bus", "conn://bus", "conn://bus"),
        ("sqs://EU-central-1/12/q.fifo?group=key", "sqs://eu-central-1/12/q.fifo?group=key", "sqs://eu-central-1/12/q.fifo"),
    ],
)  # fmt: skip
def test_a_target_has_a_normal_form_and_an_endpoint(url: str, normal: str, origin: str) -> None:
    parsed = parse_callback_url(url)
    assert (parsed.url, parsed.origin, parsed.is_target) == (normal, origin, True)
    assert parse_callback_url(parsed.url) == parsed


@pytest.mark.parametrize(
    ("url", "route"),
    [
        ("amqp://h/prod/x/a.b", AmqpRoute("prod", "x", "a.b")),
        ("amqp://h/%2F/amq.default/queue", AmqpRoute("/", "", "queue")),
        ("redis://h/3/a:b/c?maxlen=1000000", RedisRoute(3, "a:b/c", 1_000_000)),
        ("nats://h/results.new", NatsRoute("results.new")),
        ("kafka://h1,h2/results", KafkaRoute("results", "item")),
        ("kafka://h1,h2/results?key=batch", KafkaRoute("results", "batch")),
        ("sqs://eu-central-1/12/q.fifo?group=key", SqsRoute("eu-central-1", "12", "q.fifo", "key")),
    ],
)
def test_a_route_is_read(url: str, route: Route) -> None:
    assert parse_route(url) == route


@pytest.mark.parametrize(
    "url",
    [
        "amqp://h/prod/x", "amqp://h/prod/x/k/more", "amqp://h/prod//k", "amqp://h/{label}/x/k", "amqp://h/v/x/k?a=1",
        f"amqp://h/v/x/{'k' * 256}", "redis://h/s", "redis://h/x/s", "redis://h/0/", "redis://h/0/s?maxlen=0",
        "redis://h/0/s?maxlen=-1", "nats://h/", "nats://h/a..b", "nats://h/a.*", "nats://h/a.%3E", "nats://h/a%20b",
        "nats://h/$JS.API.x", "kafka://h/", "kafka://h/a/b", "kafka://h/..", "kafka://h/t?key=x", "kafka://h/{label}",
        "sqs://r/a", "sqs://r/a/q?group=x", "sqs://r/a/{label}",
    ],
)  # fmt: skip
def test_a_route_that_no_broker_takes_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"^(does not|contains|has|names)"):
        parse_route(url)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("amqp://h/%2F/x/k", "has the host 'h', which is not allowed for targets; name it in PIPELINE_ALLOW_TARGETS"),
        ("conn://nobody/x/k", "there is no connection 'nobody' in connections.toml"),
        ("conn://in/x/k", "connection 'in' is for intakes, not for targets"),
        ("conn://lake/x", "names a connection to s3, which takes no messages"),
        ("amqp://localhost/%2F/x/k", "has the host localhost, which is this machine"),
        ("amqp://10.0.0.1/%2F/x/k", "has the private address 10.0.0.1"),
        ("amqp://mq.public/%2F/x/k", "is plain amqp, which anyone along the way can read; use amqps"),
    ],
)
def test_what_the_deployment_does_not_allow_is_forbidden(url: str, problem: str) -> None:
    where = Destinations(allow_targets=("localhost", "10.*", "*.public"), connections=CONNECTIONS)
    with pytest.raises(ForbiddenCallbackUrl) as raised:
        where.check(url)
    assert problem in str(raised.value)


def test_what_is_allowed_or_named_passes() -> None:
    where = Destinations(allow_targets=("*.public", "sqs:eu-*/12/*"), connections=CONNECTIONS)
    for url in ("amqps://mq.public/v/x/k", "conn://bus/x/k", "conn://cache/s", "conn://log/t", "sqs://eu-west-1/12/q"):
        assert where.check(url).url == url
    with pytest.raises(InvalidCallbackUrl, match="does not name a virtual host"):
        where.check("conn://bus/x")
    # The endpoint alone is enough to configure it.
    assert where.check_endpoint("conn://bus").origin == "conn://bus"


def test_a_connection_is_for_the_tenants_that_its_operator_names(tmp_path: Path) -> None:
    path = tmp_path / "connections.toml"
    path.write_text(
        "[bus]\nurl = 'kafka://h'\n[theirs]\nurl = 'kafka://h'\ntenants = ['acme']\n"
        "[all]\nurl = 'kafka://h'\ntenants = ['*']\n"
    )
    where = Destinations(connections=read_connections(path))

    def allowed(tenant: str) -> list[str]:
        found = []
        for name in ("bus", "theirs", "all"):
            with suppress(ForbiddenCallbackUrl):
                found.append(where.for_tenant(tenant).check(f"conn://{name}/t").host)
        return found

    assert allowed("default") == ["bus", "all"]
    assert allowed("acme") == ["theirs", "all"]
    assert where.check("conn://theirs/t").host == "theirs"


def test_values_are_reduced_to_what_means_nothing_to_a_broker() -> None:
    values: dict[str, object] = {"label": "a/b *#>.é", "state": None, "type": "item.completed", "batch_id": "2whek"}
    filled = fill_placeholders("nats://h/r.{label}.{state}.{type}.{batch_id}", values)
    assert filled == "nats://h/r.a_b______.none.item_completed.2whek"
    assert reduce_value("x" * 100) == "x" * 64
    assert reduce_value("") == "none"


@given(st.text(max_size=80))
def test_any_label_makes_one_word_that_a_url_may_contain(label: str) -> None:
    url = fill_placeholders("nats://h/r.{label}", {"label": label})
    assert parse_callback_url(url).url == url
    assert parse_route(url) == NatsRoute(f"r.{reduce_value(label)}")


@given(st.text(max_size=40), st.sampled_from(["amqp", "redis", "nats", "sqs", "conn", "kafka", "tls"]))
def test_any_text_is_a_target_or_refused(text: str, scheme: str) -> None:
    where = Destinations(allow_targets=("*",), connections=CONNECTIONS)
    try:
        checked = where.check(f"{scheme}://{text}")
    except InvalidInput:
        return
    assert where.check(checked.url) == checked
