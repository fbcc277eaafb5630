"""connections.toml: what is read, what is refused with its line, and what no text of it ever shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.bootstrap import load_connections
from pipeline.connections.connection import ConnectionUse, NamedConnections, join_rest
from pipeline.connections.connections_file import read_connections
from pipeline.errors import InvalidSettings, NotFound

GOOD = """
# What the operator wrote.
[bus]
url = "amqps://mq.example/prod"
username = "${MQ_USER}"
password = "${MQ_PASSWORD}"   # from the vault
for = ["targets"]

[lake]
url = "s3://acme-results/pipeline"
region = "eu-central-1"
secret_access_key = "pa$$word-in-the-file"
"""
ENVIRONMENT = {"MQ_USER": "svc", "MQ_PASSWORD": "hunter2 & more"}


def written(folder: Path, text: str) -> Path:
    path = folder / "connections.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def connections(tmp_path: Path) -> NamedConnections:
    return read_connections(written(tmp_path, GOOD))


def test_secrets_come_from_the_environment_only_where_a_connection_opens(connections: NamedConnections) -> None:
    bus = connections.get("bus", ConnectionUse.TARGETS)
    assert (bus.scheme, bus.line, bus.variables()) == ("amqps", 3, ["MQ_USER", "MQ_PASSWORD"])
    assert bus.missing_variables({"MQ_USER": "svc", "MQ_PASSWORD": ""}) == ["MQ_PASSWORD"]
    opened = bus.open("tickets/new?x=1", ENVIRONMENT)
    assert opened.url == "amqps://mq.example/prod/tickets/new?x=1"
    assert dict(opened.options) == {"username": "svc", "password": "hunter2 & more"}


def test_no_text_of_a_connection_shows_a_secret(connections: NamedConnections) -> None:
    opened = [each.open("", ENVIRONMENT) for each in connections]
    texts = f"{connections!r} {list(connections)!r} {opened!r}"
    assert not [secret for secret in ("hunter2", "svc", "pa$$word") if secret in texts]
    bus, lake = opened
    said = bus.mask("PLAIN svc:hunter2%20%26%20more refused for 'hunter2 & more'")
    assert said == "PLAIN ***:*** refused for '***'"
    assert lake.mask("region eu-central-1, key pa$$word-in-the-file") == "region eu-central-1, key ***"


def test_a_variable_that_is_not_set_is_named_with_the_connection(connections: NamedConnections) -> None:
    with pytest.raises(InvalidSettings, match="connection 'bus': the environment variable MQ_USER is not set"):
        connections.get("bus", ConnectionUse.TARGETS).open("", {})


def test_a_connection_is_used_only_for_what_its_operator_allows(connections: NamedConnections) -> None:
    assert connections.get("lake", ConnectionUse.SOURCES).name == "lake"
    with pytest.raises(InvalidSettings, match=r"'bus' is for targets, not for sources; its operator can add"):
        connections.get("bus", ConnectionUse.SOURCES)
    with pytest.raises(NotFound, match="there is no connection 'buss'; did you mean 'bus'?"):
        connections.get("buss", ConnectionUse.TARGETS)
    with pytest.raises(NotFound, match="there is no connection 'bus'; name the file .* PIPELINE_CONNECTIONS"):
        load_connections(None).get("bus", ConnectionUse.TARGETS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[bus]\nurl = x\n", "at line 2"),
        ("[bus]\nusername = 'x'", "line 1: connection 'bus' needs `url`"),
        ("[a]\nurl = 'redis://h'\n[bus]\nurl = 'ftp://h/'", "line 4: connection 'bus' has the unknown scheme 'ftp'"),
        ("[bus]\n\nurl = 'amqp://me:hunter2@h/'", "line 3: connection 'bus' has a user name or password in its url"),
        ("[bus]\nurl = 'redis://h/0?password=hunter2'", "line 2: connection 'bus' has the parameter 'password'"),
        ("[bus]\nurl = 'amqp:///prod'", "line 2: connection 'bus' has no host in its url"),
        ("[bus]\nurl = 'amqp://h'\npasswrd = 'hunter2'", "line 3: .* unknown key 'passwrd'; did you mean 'password'"),
        ("[bus]\nurl = 'amqp://h'\npassword = 7", "line 3: connection 'bus' has no text in password"),
        ("[bus]\nurl = 'amqp://h'\nfor = ['target']", "line 3: connection 'bus' is for 'target', which does not"),
        ("[bus]\nurl = 'amqp://h'\nfor = []", "line 3: connection 'bus' has no list in `for`, or an empty one"),
        ("[bus]\nurl = 'amqp://h'\ntenants = 'acme'", "line 3: connection 'bus' has no list of tenants"),
        ("[bus]\nurl = 'amqp://h'\ntenants = ['a b']", "line 3: connection 'bus' has no list of tenants"),
        ("[Bus]\nurl = 'amqp://h'", "line 1: connection 'Bus' has a name that cannot stand in a URL"),
        ("bus = 'amqp://h'", "line 1: connection 'bus' is no table"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_connection(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidSettings, match=message) as raised:
        read_connections(written(tmp_path, text))
    assert "hunter2" not in str(raised.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match=r"PIPELINE_CONNECTIONS names '.*none.toml', which cannot be read: No"):
        read_connections(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_bytes(b"[bus]\nurl = '\xff'")
    with pytest.raises(InvalidSettings, match=r"is not UTF-8 text \(byte 13\)"):
        read_connections(tmp_path / "bad.toml")


@pytest.mark.parametrize(
    ("url", "rest", "joined"),
    [
        ("amqp://h/prod", "", "amqp://h/prod"),
        ("amqp://h/prod/", "x/y", "amqp://h/prod/x/y"),
        ("redis://h/0?a=1", "stream?maxlen=5", "redis://h/0/stream?a=1&maxlen=5"),
        ("kafka://h1,h2", "topic", "kafka://h1,h2/topic"),
        ("s3://b/p", "?x=1", "s3://b/p?x=1"),
    ],
)
def test_the_rest_is_below_the_path_of_the_connection(url: str, rest: str, joined: str) -> None:
    assert join_rest(url, rest) == joined
