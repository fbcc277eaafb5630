"""`pipeline endpoints`: what is configured, how each answers, called no more and called again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline import InvalidWebhook, verify_webhook
from pipeline.cli.show.output import brief
from pipeline.crypto.encryption import Encryption, new_encryption_key
from pipeline.crypto.secrets import fingerprint, new_secret
from pipeline.database.engine import Database
from tests.support.receiver import SECRET, Receiver
from tests.support.receivers.configured import configure
from tests.support.receivers.owed import Sending, deliveries, options, owe, states, to, wait_until
from tests.support.receivers.scripted import Scripted, answer
from tests.support.terminal import Terminal

HERE = "https://example.com"
ORIGIN = "https://example.com:443"
NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    made = new_encryption_key()
    monkeypatch.setenv("PIPELINE_ENCRYPTION_KEY", made)
    return made


@pytest.fixture
def terminal(terminal: Terminal, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("PIPELINE_DATABASE_URL", database_url)
    monkeypatch.setenv("PIPELINE_WEBHOOK_SECRET", SECRET)
    monkeypatch.setenv("PIPELINE_ALLOW_PRIVATE_CALLBACKS", "127.0.0.0/8")
    return terminal


def refused(terminal: Terminal, *words: str, input: str | None = None) -> str:
    """Run a command that must refuse; return what it says."""
    result = terminal.run("endpoints", *words, input=input)
    assert result.exit_code == 2, result.output
    return result.stderr


def test_settings_are_set_for_any_url_of_the_endpoint_and_taken_back(terminal: Terminal) -> None:
    assert terminal.data("endpoints", "list") == []
    words = ["--schedule", "short", "--rate", "2.5", "--burst", "10", "--in-flight", "4", "--ordered", "batch"]
    words += ["--max-block", "60", "--coalesce", "100", "--coalesce-ms", "500"]
    assert terminal.run("endpoints", "set", f"{HERE}/hook?token=hidden", *words).exit_code == 0
    (found,) = terminal.data("endpoints", "list")
    assert (found["origin"], found["state"]) == (ORIGIN, "ok")
    assert found["settings"] == {
        "schedule": "short",
        "rate": 2.5,
        "burst": 10,
        "in_flight_cap": 4,
        "ordering": "batch",
        "max_block_seconds": 60.0,
        "coalesce_items": 100,
        "coalesce_ms": 500,
    }
    assert "rate         2.5" in terminal.run("endpoints", "show", HERE).stdout
    words = [word for word in words if word.startswith("--") and word != "--ordered"]
    taken = terminal.data(
        "endpoints", "set", HERE, "--ordered", "no", *(part for w in words for part in (w, "default"))
    )
    assert set(taken["settings"].values()) == {None}
    assert "hidden" not in terminal.run("endpoints", "list").output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((HERE, "--rate", "fast"), "'fast' is no number; give one, or `default`"),
        ((HERE, "--rate", "0"), "error: --rate is 0.0; expected a number from 0.001 to 100000"),
        ((HERE, "--in-flight", "0"), "error: --in-flight is 0; expected a whole number from 1 to 1000"),
        ((HERE, "--coalesce-ms", "5"), "--coalesce-ms has no effect without --coalesce; set --coalesce as well"),
        ((HERE, "--max-block", "-1", "--ordered", "batch"), "--max-block is -1.0; expected a number from 0"),
        ((HERE, "--burst", "2.5"), "'2.5' is no whole number"),
        ((HERE, "--burst", "5"), "--burst has no effect without --rate"),
        ((HERE, "--schedule", "never"), "'standard', 'short'"),
        ((HERE,), "nothing to change"),
        (("example.com", "--rate", "1"), "the endpoint 'example.com' is not an absolute URL"),
        (
            ("https://user:secret@example.com", "--rate", "1"),
            "example.com…' contains a user name or password",
        ),
        ((HERE, "--header", "Authorization=secret"), "Authorization=@VARIABLE"),
        ((HERE, "--header", "Authorization=@NO_SUCH_VARIABLE"), "NO_SUCH_VARIABLE for 'Authorization' is not set"),
        ((HERE, "--header", "X-Key"), "standard input has no line for 'X-Key'"),
        ((HERE, "--header", "X-Key=@HOME", "--no-header", "x-key"), "'x-key' is set and taken away"),
    ],
)
def test_what_cannot_be_set_is_refused_and_nothing_is_stored(
    terminal: Terminal, words: tuple[str, ...], said: str
) -> None:
    told = refused(terminal, "set", *words, input="")
    assert said in " ".join(told.split())
    assert "secret" not in told
    assert terminal.data("endpoints", "list") == []


def test_headers_come_from_the_environment_and_standard_input_and_are_never_shown(
    terminal: Terminal, database_url: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(database_url)
    monkeypatch.setenv("TOKEN", "Bearer hidden-1")
    with Scripted(answer()) as receiver:
        set_ = ("endpoints", "set", receiver.url)
        told = [
            terminal.run(*set_, "--header", "Authorization=@TOKEN", "--header", "X-Old", input="hidden-2\n"),
            terminal.run(*set_, "--header", "X-Key", "--no-header", "x-old", input="hidden-3\r\n"),
            terminal.run("endpoints", "show", receiver.url),
            terminal.run("endpoints", "show", receiver.url, "--json"),
        ]
        assert [result.exit_code for result in told] == [0] * 4, told[-1].output
        assert terminal.data("endpoints", "show", receiver.url)["headers"] == ["authorization", "x-key"]
        owe(database, to(receiver.port))
        with Sending(database, vault=Encryption([key])):
            wait_until(lambda: states(database) == ["delivered"])
        headers = receiver.requests[0].headers
    assert {name: headers.get(name) for name in ("authorization", "x-key", "x-old")} == {
        "authorization": "Bearer hidden-1",
        "x-key": "hidden-3",
        "x-old": None,
    }
    assert "hidden" not in "".join(result.output for result in told)
    database.close()


def test_a_header_that_must_not_be_sent_or_cannot_be_kept_changes_nothing(
    terminal: Terminal, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = refused(terminal, "set", HERE, "--rate", "5", "--header", "Webhook-Id", input="hidden\n")
    assert "the header 'Webhook-Id' cannot be set" in told
    told += refused(terminal, "set", HERE, "--rate", "5", "--header", "X-Key", input="hidden\x07\n")
    assert "not one line of printable ASCII" in told
    monkeypatch.delenv("PIPELINE_ENCRYPTION_KEY")
    told += refused(terminal, "set", HERE, "--rate", "5", "--header", "X-Key", input="hidden\n")
    assert "PIPELINE_ENCRYPTION_KEY is not set; make one with `pipeline secret --encryption-key`" in told
    assert "PIPELINE_ENCRYPTION_KEY" in refused(terminal, "rotate-secret", HERE)
    assert "hidden" not in told
    assert terminal.data("endpoints", "list") == []


def test_the_list_says_how_each_endpoint_is(terminal: Terminal, database_url: str, key: str) -> None:
    database = Database(database_url)
    owe(database, to(*[8_001] * 3, 8_002))
    configure(database, "http://127.0.0.1:8001", breaker="open", open_until=NOW + HOUR, failing_since=NOW)
    configure(database, "https://a:443", disabled_at=NOW, disabled_reason="gone")
    configure(database, "https://b:443", not_before=NOW + HOUR)
    configure(database, "https://c:443", failing_since=NOW, last_success_at=NOW - HOUR)
    configure(database, "https://d:443", headers="sealed elsewhere")
    found = {each["origin"]: each for each in terminal.data("endpoints", "list")}
    assert {origin: each["state"] for origin, each in found.items()} == {
        "http://127.0.0.1:8001": "open",
        "http://127.0.0.1:8002": "ok",
        "https://a:443": "disabled",
        "https://b:443": "throttled",
        "https://c:443": "failing",
        "https://d:443": "locked",
    }
    assert found["http://127.0.0.1:8001"]["backlog"] == {"pending": 3}
    assert found["https://a:443"]["reason"] == "gone"
    table = terminal.run("endpoints", "list").stdout
    local = brief(NOW + HOUR)
    for words in (f"open until {local}", f"throttled until {local}", ": it answered 410", "failing since", "locked"):
        assert words in table
    named = [terminal.data("endpoints", "list", "--state", state) for state in ("disabled", "locked", "ok")]
    assert [[each["origin"] for each in page] for page in named] == [
        ["https://a:443"],
        ["https://d:443"],
        ["http://127.0.0.1:8002"],
    ]
    assert "encrypted with a key that is not among those" in terminal.run("endpoints", "show", "https://d").stdout
    database.close()


def test_the_list_comes_in_pages(terminal: Terminal, database_url: str) -> None:
    database = Database(database_url)
    for name in ("a", "b", "c"):
        configure(database, f"https://{name}:443", failing_since=NOW)
    first = terminal.run("endpoints", "list", "--limit", "2")
    assert "--after https://b:443 shows the next" in first.stderr
    rest = terminal.run("endpoints", "list", "--limit", "2", "--after", "https://b/hook", "--state", "failing")
    assert ("https://c:443" in rest.stdout, "https://b:443" in rest.stdout, "more" in rest.stderr) == (
        True,
        False,
        False,
    )
    database.close()


def test_an_endpoint_that_nobody_knows_is_not_found(terminal: Terminal) -> None:
    for words in (("show", HERE), ("enable", HERE)):
        assert f"the endpoint {ORIGIN}" in refused(terminal, *words)
    assert "has no secrets or headers" in refused(terminal, "forget-secret", HERE)
    assert terminal.data("endpoints", "list") == []


def test_what_is_disabled_is_paused_with_its_reason_and_sent_when_it_is_enabled(
    terminal: Terminal, database_url: str
) -> None:
    database = Database(database_url)
    with Receiver() as receiver, Scripted(answer()) as other:
        port = int(receiver.url.split(":")[2].split("/")[0])
        owe(database, to(port, port, other.port, path="/hook"))
        result = terminal.run("endpoints", "disable", receiver.url, "--reason", "moves on Monday")
        assert "2 callbacks paused" in result.stderr
        assert "one line" in refused(terminal, "disable", receiver.url, "--reason", "two\nlines")
        with Sending(database) as sender:
            wait_until(lambda: states(database) == ["paused", "paused", "delivered"])
            assert not receiver.bodies
            shown = terminal.data("endpoints", "show", receiver.url)
            assert (shown["state"], shown["reason"]) == ("disabled", "manual: moves on Monday")
            assert [notice["type"] for notice in shown["notices"]] == ["endpoint.disabled"]
            assert terminal.data("endpoints", "enable", receiver.url)["resumed"] == 2
            sender.wake()
            receiver.wait_for(lambda seen: len(seen.bodies) == 2)
            wait_until(lambda: states(database) == ["delivered"] * 3)
    assert terminal.data("endpoints", "show", receiver.url)["state"] == "ok"
    database.close()


def test_an_endpoint_is_disabled_before_anything_is_owed_to_it(terminal: Terminal) -> None:
    assert terminal.data("endpoints", "disable", f"{HERE}/hook") == {"origin": ORIGIN, "paused": 0}
    assert terminal.data("endpoints", "show", HERE)["reason"] == "manual"


def test_endpoints_in_trouble_are_named_in_the_status_and_by_the_doctor(terminal: Terminal, database_url: str) -> None:
    database = Database(database_url)
    configure(database, "https://fine:443", last_success_at=NOW)
    assert terminal.run("status").stderr == ""
    configure(database, "https://a:443", failing_since=NOW)
    assert terminal.run("endpoints", "disable", "https://b", "--reason", "moves\u202e").exit_code == 2
    terminal.run("endpoints", "disable", "https://b", "--reason", "moves")
    said = terminal.run("status").stderr.splitlines()
    assert [line.partition(" since")[0] for line in said] == ["https://a:443 is failing", "https://b:443 is disabled"]
    assert said[1].endswith(": moves; `pipeline endpoints show https://b:443` says more")
    assert terminal.run("status", "--json").stderr == ""
    found = [each for each in terminal.data("doctor") if each["name"] == "endpoint"]
    assert [(each["verdict"], each["value"].partition(" since")[0]) for each in found] == [
        ("warn", "https://a:443 is failing"),
        ("warn", "https://b:443 is disabled"),
    ]
    for number in range(9):
        configure(database, f"https://many-{number}:443", failing_since=NOW)
    said = terminal.run("status").stderr.splitlines()
    assert len(said) == 6
    assert "`pipeline endpoints list` says more" in said[-1]
    database.close()


def signatures_of(terminal: Terminal, receiver: Scripted, secrets: list[str]) -> list[bool]:
    """Send a ping; return which of the secrets verify it."""
    assert terminal.run("endpoints", "test", receiver.url).exit_code == 0
    request, verified = receiver.requests[-1], []
    for secret in secrets:
        try:
            verified.append(verify_webhook(request.body, request.headers, secret)["type"] == "webhook.ping")
        except InvalidWebhook:
            verified.append(False)
    return verified


def test_a_rotated_secret_is_printed_once_and_signs_beside_those_before_it(terminal: Terminal, key: str) -> None:
    with Scripted(answer()) as receiver:
        result = terminal.run("endpoints", "rotate-secret", receiver.url, "--grace", "3600")
        first = result.stdout.strip()
        assert first.startswith("whsec_")
        assert "not shown again" in result.stderr
        assert signatures_of(terminal, receiver, [first, SECRET, new_secret()]) == [True, True, False]
        made = terminal.data("endpoints", "rotate-secret", receiver.url, "--grace", "0", "--asymmetric")
        assert signatures_of(terminal, receiver, [made["public_key"], first, SECRET]) == [True, False, False]
        shown = terminal.run("endpoints", "show", receiver.url).stdout
        assert made["public_key"] in shown
        assert made["secret"] not in shown
        assert "-1 cannot be used; a grace is between 0 and 7 days" in refused(
            terminal, "rotate-secret", receiver.url, "--grace", "-1"
        )
        assert "give --yes" in refused(terminal, "forget-secret", receiver.url)
        assert terminal.run("endpoints", "forget-secret", receiver.url, "--yes").exit_code == 0
        assert signatures_of(terminal, receiver, [SECRET, made["public_key"]]) == [True, False]


def test_an_endpoint_that_fails_is_enabled_at_once(terminal: Terminal, database_url: str) -> None:
    database = Database(database_url)
    with Receiver() as receiver:
        port = int(receiver.url.split(":")[2].split("/")[0])
        configure(database, f"http://127.0.0.1:{port}", breaker="open", open_until=NOW + HOUR, failing_since=NOW)
        owe(database, to(port))
        terminal.run("endpoints", "enable", receiver.url)
        with Sending(database, options=options()):
            receiver.wait_for(lambda seen: len(seen.bodies) == 1)
    database.close()


def test_an_endpoint_that_only_ever_took_what_it_was_sent_is_known(terminal: Terminal, database: Database) -> None:
    with Scripted(answer()) as receiver:
        owe(database, to(receiver.port, receiver.port, path="/a") + to(receiver.port, path="/b"))
        with Sending(database):
            wait_until(lambda: states(database) == ["delivered"] * 3)
        (listed,) = terminal.data("endpoints", "list")
        shown = terminal.data("endpoints", "show", receiver.url)
        assert listed == shown
        assert (shown["state"], shown["delivered"], shown["backlog"]) == ("ok", 3, {})
        last = max(row["finished_at"] for row in deliveries(database))
        assert datetime.fromisoformat(shown["last_success_at"]) == last
        assert "delivered     3 (of the newest 100,000" in terminal.run("endpoints", "show", receiver.url).stdout
        assert "0 paused callbacks" in terminal.run("endpoints", "enable", receiver.url).stderr


def test_an_endpoint_that_is_left_alone_is_pinged_and_said_to_be(terminal: Terminal, database: Database) -> None:
    with Receiver() as receiver:
        origin = receiver.url.rpartition("/")[0]
        configure(database, origin, breaker="open", open_until=NOW + HOUR, failing_since=NOW)
        result = terminal.run("endpoints", "test", receiver.url)
        told = f"{origin} is left alone (open until {brief(NOW + HOUR)}): only pings are sent there; "
        assert (result.exit_code, told in result.stderr) == (0, True), result.stderr
        assert f"`pipeline endpoints enable {origin}` has it called at once" in result.stderr


def test_a_slip_of_a_person_is_said_and_the_newest_reason_holds(terminal: Terminal, key: str) -> None:
    assert terminal.data("endpoints", "list") == []
    said = terminal.run("endpoints", "disable", HERE, "--reason", "one").stderr
    assert f"nothing is known of {ORIGIN}" in said
    said = terminal.run("endpoints", "disable", HERE, "--reason", "two").stderr
    assert "nothing is known" not in said
    assert terminal.run("endpoints", "disable", HERE).exit_code == 0
    assert terminal.data("endpoints", "show", HERE)["reason"] == "manual: two"
    assert ": two\n" in terminal.run("endpoints", "show", HERE).stdout
    said = terminal.run("endpoints", "set", HERE, "--no-header", "X-None").stderr
    assert said == f"{ORIGIN} had no header 'X-None' to take away\n"


def test_defaults_and_reasons_are_in_words_and_what_was_given_up_is_offered(
    terminal: Terminal, database: Database
) -> None:
    with Scripted(answer(410)) as receiver:
        owe(database, to(receiver.port))
        with Sending(database):
            wait_until(lambda: states(database) == ["dead"])
        shown = terminal.run("endpoints", "show", receiver.url).stdout
        assert ": it answered 410\n" in shown
        facts = {name: " ".join(rest) for name, *rest in map(str.split, shown.splitlines()) if rest}
        assert (facts["in-flight"], facts["coalesce-ms"]) == ("default: 64", "default: 1000")
        said = terminal.run("endpoints", "enable", receiver.url).stderr
        origin = receiver.url.rpartition("/")[0]
        again = f"`pipeline deliveries recover --endpoint {origin}` sends them again"
        assert f"1 callback given up before: {again}" in said


def test_secrets_are_told_apart_and_a_grace_is_a_time(terminal: Terminal, key: str) -> None:
    first = terminal.data("endpoints", "rotate-secret", HERE, "--grace", "1d")
    assert first["grace_seconds"] == 86_400
    result = terminal.run("endpoints", "rotate-secret", HERE, "--grace", "1w")
    newest = result.stdout.strip()
    assert f"fingerprint {fingerprint(newest)}; those before it sign as well for" in result.stderr
    known = [each["fingerprint"] for each in terminal.data("endpoints", "show", HERE)["secrets"]]
    assert known == [fingerprint(newest), first["fingerprint"], fingerprint(SECRET)]
    assert f"whsec_… {first['fingerprint']} until" in terminal.run("endpoints", "show", HERE).stdout
    assert "between 0 and 7 days" in refused(terminal, "rotate-secret", HERE, "--grace", "8d")


def test_a_command_says_what_it_did_and_not_what_it_logged(terminal: Terminal, tmp_path: Path) -> None:
    terminal.write_definition()
    terminal.run("submit", str(terminal.write_items(["x"])))
    with terminal.start("endpoints", "disable", HERE) as process:
        said = process.communicate(timeout=60)[1].decode()
    assert "is disabled; 0 callbacks paused" in said
    assert "endpoint_disabled" not in said
