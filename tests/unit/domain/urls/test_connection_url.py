"""`conn://NAME/rest`, credentials in URLs, and the hosts that targets may name."""

from __future__ import annotations

import pytest

from pipeline.domain.urls.allowed_targets import check_target_pattern, is_target_allowed
from pipeline.domain.urls.connection_url import is_connection_url, parse_connection_url, refuse_credentials
from pipeline.errors import InvalidArgument


@pytest.mark.parametrize(
    ("url", "name", "rest"),
    [
        ("conn://bus", "bus", ""),
        ("conn://bus/", "bus", ""),
        ("conn://my-bus_2/exchange/routing.key", "my-bus_2", "exchange/routing.key"),
        ("conn://lake/in/*.csv?format=csv", "lake", "in/*.csv?format=csv"),
        ("conn://bus?key=batch", "bus", "?key=batch"),
        ("conn://lake/Größe 1.csv", "lake", "Größe 1.csv"),
    ],
)
def test_a_connection_url_is_read(url: str, name: str, rest: str) -> None:
    parsed = parse_connection_url(url)
    assert (parsed.name, parsed.rest, parsed.origin) == (name, rest, f"conn://{name}")
    assert is_connection_url(url)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("https://h/x", "is not a URL of a connection"),
        ("conn://", "does not begin with the name of a connection"),
        ("conn://Bus/x", "does not begin with the name of a connection"),
        ("conn://bus:5672/x", "does not begin with the name of a connection"),
        ("conn://me:secret@bus/x", "does not begin with the name of a connection"),
        ("conn://bus//x", "has two slashes"),
        ("conn://bus/%2Fx", "has two slashes"),
        ("conn://bus/a/../../x", "contains '..'"),
        ("conn://bus/a/%2e%2E/x", "contains '..'"),
        ("conn://bus/a/%252e%252e/x", "contains '..'"),
        ("conn://bus/https://elsewhere/x", "names another host"),
        ("conn://bus/a\\..\\x", "contains a backslash"),
        ("conn://bus/a\nx", "contains a control character"),
        ("conn://bus/a%00x", "contains a control character"),
    ],
)
def test_a_rest_that_leads_elsewhere_is_refused(url: str, problem: str) -> None:
    with pytest.raises(InvalidArgument, match="callback_url .*") as raised:
        parse_connection_url(url, name="callback_url")
    assert problem in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "amqp://me:hunter2@h/x", "amqp://me@h/x", "redis://:hunter2@h/0/s", "postgresql://h/d?password=hunter2",
        "postgresql://h/d?sslpassword=hunter2", "s3://b/k?aws_secret_access_key=hunter2", "https://h/?X-Amz-Signature=hunter2",
        "https://h/?access_token=hunter2", "az://c/k?sig=hunter2", "nats://h/s?a=1&Token=hunter2",
    ],
)  # fmt: skip
def test_a_url_with_credentials_is_refused_without_showing_them(url: str) -> None:
    with pytest.raises(InvalidArgument, match="put the password into a connection: PIPELINE_CONNECTIONS") as raised:
        refuse_credentials(url)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("url", ["amqp://h/x", "redis://h/0/s?maxlen=10", "s3://b/a@b", "https://h/?key=item"])
def test_a_url_without_credentials_passes(url: str) -> None:
    refuse_credentials(url)


@pytest.mark.parametrize(
    ("scheme", "place", "patterns", "is_allowed"),
    [
        ("amqp", "localhost", ["localhost"], True),
        ("amqp", "LOCALHOST", ["localhost"], True),
        ("amqp", "a.mq.internal", ["x", "*.mq.internal"], True),
        ("amqp", "mq.internal", ["*.mq.internal"], False),
        ("amqp", "mq.internal.evil", ["*.internal"], False),
        ("amqp", "h", [], False),
        ("s3", "acme-results", ["s3:acme-*"], True),
        ("s3", "acme-results", ["acme-*", "*"], False),
        ("amqp", "acme-results", ["s3:acme-*"], False),
        ("nats", "h", ["nats:h"], True),
        ("sqs", "eu-central-1/1/q", ["sqs:eu-central-1/1/*"], True),
    ],
)
def test_only_named_places_are_allowed(scheme: str, place: str, patterns: list[str], is_allowed: bool) -> None:
    assert is_target_allowed(scheme, place, [check_target_pattern(each) for each in patterns]) is is_allowed


@pytest.mark.parametrize("text", ["", "amqp://h", "a b", ":x", "s3:", "[::1]", "h?"])
def test_what_is_no_pattern_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no host or pattern"):
        check_target_pattern(text)
