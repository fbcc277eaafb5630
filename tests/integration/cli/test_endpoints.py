"""`pipeline endpoints`: settings, secrets and headers, state, disabling and enabling, pings."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline import InvalidWebhook, verify_webhook
from pipeline.cli.show.output import format_time
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
    generated = new_encryption_key()
    monkeypatch.setenv("PIPELINE_ENCRYPTION_KEY", generated)
    return generated


@pytest.fixture
def terminal(terminal: Terminal, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("PIPELINE_DATABASE_URL", database_url)
    monkeypatch.setenv("PIPELINE_WEBHOOK_SECRET", SECRET)
    monkeypatch.setenv("PIPELINE_ALLOW_PRIVATE_CALLBACKS", "127.0.0.0/8")
    return terminal


def rejected(terminal: Terminal, *words: str, input: str | None = None) -> str:
    """Run a command that must exit with 2; return what it prints to standard error."""
    result = terminal.run("endpoints", *words, input=input)
    assert result.exit_code == 2, result.output
    return result.stderr


def test_settings_are_set_by_any_url_of_the_endpoint_and_reset(terminal: Terminal) -> None:
    assert terminal.data("endpoints", "list") == []
    words = ["--schedule", "short", "--rate", "2.5", "--burst", "10", "--in-flight", "4", "--ordered", "batch"]
    words += ["--max-block", "60", "--coalesce", "100", "--coalesce-ms", "500"]
    assert terminal.run("endpoints", "set", f"{HERE}/hook?token=hidden", *words).exit_code == 0
    (endpoint,) = terminal.data("endpoints", "list")
    assert (endpoint["origin"], endpoint["state"]) == (ORIGIN, "ok")
    assert endpoint["settings"] == {
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
    reset = terminal.data(
        "endpoints", "set", HERE, "--ordered", "no", *(part for w in words for part in (w, "default"))
    )
    assert set(reset["settings"].values()) == {None}
    assert "hidden" not in terminal.run("endpoints", "list").output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((HERE, "--rate", "fast"), "'fast' is not a number; expected a number, or `default`"),
        ((HERE, "--rate", "0"), "error: --rate is 0.0; expected a number from 0.001 to 100000"),
        ((HERE, "--in-flight", "0"), "error: --in-flight is 0; expected a whole number from 1 to 1000"),
        ((HERE, "--coalesce-ms", "5"), "--coalesce-ms has no effect without --coalesce; set --coalesce as well"),
        ((HERE, "--max-block", "-1", "--ordered", "batch"), "--max-block is -1.0; expected a number from 0"),
        ((HERE, "--burst", "2.5"), "'2.5' is not a whole number; expected a whole number, or `default`"),
        ((HERE, "--burst", "5"), "--burst has no effect without --rate"),
        ((HERE, "--schedule", "never"), "'standard', 'short'"),
        ((HERE,), "nothing to change"),
        (("example.com", "--rate", "1"), "the endpoint 'example.com' is not an absolute URL"),
        (
            ("https://user:secret@example.com", "--rate", "1"),
            "example.com…' contains a user name or password",
        ),
        ((HERE, "--header", "Authorization=secret"), "Authorization=@VARIABLE"),
        (
            (HERE, "--header", "Authorization=@NO_SUCH_VARIABLE"),
            "the environment variable NO_SUCH_VARIABLE for the header 'Authorization' is not set",
        ),
        ((HERE, "--header", "X-Key"), "standard input has no line for the header 'X-Key'"),
        ((HERE, "--header", "X-Key=@HOME", "--no-header", "x-key"), "'x-key' is both set and removed"),
    ],
)
def test_invalid_settings_are_rejected_and_nothing_is_stored(
    terminal: Terminal, words: tuple[str, ...], message: str
) -> None:
    stderr = rejected(terminal, "set", *words, input="")
    assert message in " ".join(stderr.split())
    assert "secret" not in stderr
    assert terminal.data("endpoints", "list") == []


def test_headers_come_from_the_environment_and_standard_input_and_are_never_shown(
    terminal: Terminal, database_url: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(database_url)
    monkeypatch.setenv("TOKEN", "Bearer hidden-1")
    with Scripted(answer()) as receiver:
        set_ = ("endpoints", "set", receiver.url)
        runs = [
            terminal.run(*set_, "--header", "Authorization=@TOKEN", "--header", "X-Old", input="hidden-2\n"),
            terminal.run(*set_, "--header", "X-Key", "--no-header", "x-old", input="hidden-3\r\n"),
            terminal.run("endpoints", "show", receiver.url),
            terminal.run("endpoints", "show", receiver.url, "--json"),
        ]
        assert [result.exit_code for result in runs] == [0] * 4, runs[-1].output
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
    assert "hidden" not in "".join(result.output for result in runs)
    database.close()


def test_a_header_that_cannot_be_sent_or_stored_is_rejected(
    terminal: Terminal, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stderr = rejected(terminal, "set", HERE, "--rate", "5", "--header", "Webhook-Id", input="hidden\n")
    assert "the header 'Webhook-Id' cannot be set" in stderr
    stderr += rejected(terminal, "set", HERE, "--rate", "5", "--header", "X-Key", input="hidden\x07\n")
    assert "not one line of printable ASCII" in stderr
    monkeypatch.delenv("PIPELINE_ENCRYPTION_KEY")
    stderr += rejected(terminal, "set", HERE, "--rate", "5", "--header", "X-Key", input="hidden\n")
    assert "PIPELINE_ENCRYPTION_KEY is not set; make one with `pipeline secret --encryption-key`" in stderr
    assert "PIPELINE_ENCRYPTION_KEY" in rejected(terminal, "rotate-secret", HERE)
    assert "hidden" not in stderr
    assert terminal.data("endpoints", "list") == []


def test_the_list_shows_the_state_of_each_endpoint(terminal: Terminal, database_url: str, key: str) -> None:
    database = Database(database_url)
    owe(database, to(*[8_001] * 3, 8_002))
    configure(database, "http://127.0.0.1:8001", breaker="open", open_until=NOW + HOUR, failing_since=NOW)
    configure(database, "https://a:443", disabled_at=NOW, disabled_reason="gone")
    configure(database, "https://b:443", not_before=NOW + HOUR)
    configure(database, "https://c:443", failing_since=NOW, last_success_at=NOW - HOUR)
    configure(database, "https://d:443", headers="sealed elsewhere")
    listed = {endpoint["origin"]: endpoint for endpoint in terminal.data("endpoints", "list")}
    assert {origin: endpoint["state"] for origin, endpoint in listed.items()} == {
        "http://127.0.0.1:8001": "open",
        "http://127.0.0.1:8002": "ok",
        "https://a:443": "disabled",
        "https://b:443": "throttled",
        "https://c:443": "failing",
        "https://d:443": "locked",
    }
    assert listed["http://127.0.0.1:8001"]["backlog"] == {"pending": 3}
    assert listed["https://a:443"]["reason"] == "gone"
    table = terminal.run("endpoints", "list").stdout
    local = format_time(NOW + HOUR)
    for words in (
        f"open until {local}",
        f"throttled until {local}",
        ": it answered 410 Gone",
        "failing since",
        "locked",
    ):
        assert words in table
    pages = [terminal.data("endpoints", "list", "--state", state) for state in ("disabled", "locked", "ok")]
    assert [[endpoint["origin"] for endpoint in page] for page in pages] == [
        ["https://a:443"],
        ["https://d:443"],
        ["http://127.0.0.1:8002"],
    ]
    assert "encrypted with a key that is not among those" in terminal.run("endpoints", "show", "https://d").stdout
    database.close()


def test_the_list_is_paged(terminal: Terminal, database_url: str) -> None:
    database = Database(database_url)
    for name in ("a", "b", "c"):
        configure(database, f"https://{name}:443", failing_since=NOW)
    first = terminal.run("endpoints", "list", "--limit", "2")
    assert "there are more; --limit 20 lists more, --after https://b:443 the next page" in first.stderr
    rest = terminal.run("endpoints", "list", "--limit", "2", "--after", "https://b/hook", "--state", "failing")
    assert ("https://c:443" in rest.stdout, "https://b:443" in rest.stdout, "more" in rest.stderr) == (
        True,
        False,
        False,
    )
    database.close()


def test_an_unknown_endpoint_is_not_found(terminal: Terminal) -> None:
    for words in (("show", HERE), ("enable", HERE)):
        assert f"the endpoint {ORIGIN}" in rejected(terminal, *words)
    assert "has no secrets or headers" in rejected(terminal, "forget-secret", HERE)
    assert terminal.data("endpoints", "list") == []


def test_callbacks_to_a_disabled_endpoint_are_paused_and_sent_once_it_is_enabled(
    terminal: Terminal, database_url: str
) -> None:
    database = Database(database_url)
    with Receiver() as receiver, Scripted(answer()) as other:
        port = int(receiver.url.split(":")[2].split("/")[0])
        owe(database, to(port, port, other.port, path="/hook"))
        result = terminal.run("endpoints", "disable", receiver.url, "--reason", "moves on Monday")
        assert "2 callbacks paused" in result.stderr
        assert "one line" in rejected(terminal, "disable", receiver.url, "--reason", "two\nlines")
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


def test_an_endpoint_can_be_disabled_before_its_first_callback(terminal: Terminal) -> None:
    assert terminal.data("endpoints", "disable", f"{HERE}/hook") == {"origin": ORIGIN, "paused": 0}
    assert terminal.data("endpoints", "show", HERE)["reason"] == "manual"


def test_unhealthy_endpoints_are_reported_by_status_and_doctor(terminal: Terminal, database_url: str) -> None:
    database = Database(database_url)
    configure(database, "https://fine:443", last_success_at=NOW)
    assert terminal.run("status").stderr == "no batches\n"
    configure(database, "https://a:443", failing_since=NOW)
    assert terminal.run("endpoints", "disable", "https://b", "--reason", "moves\u202e").exit_code == 2
    terminal.run("endpoints", "disable", "https://b", "--reason", "moves")
    _, *warnings = terminal.run("status").stderr.splitlines()
    conditions = [warning.partition(" since")[0] for warning in warnings]
    assert conditions == ["https://a:443 is failing", "https://b:443 is disabled"]
    assert warnings[1].endswith(": moves; for details run `pipeline endpoints show https://b:443`")
    assert terminal.run("status", "--json").stderr == ""
    checks = [check for check in terminal.data("doctor") if check["name"] == "endpoint"]
    assert [(check["verdict"], check["value"].partition(" since")[0]) for check in checks] == [
        ("warn", "https://a:443 is failing"),
        ("warn", "https://b:443 is disabled"),
    ]
    for number in range(9):
        configure(database, f"https://many-{number}:443", failing_since=NOW)
    _, *warnings = terminal.run("status").stderr.splitlines()
    assert len(warnings) == 6
    assert warnings[-1] == "more endpoints are failing or disabled; for details run `pipeline endpoints list`"
    database.close()


def signatures_of(terminal: Terminal, receiver: Scripted, secrets: list[str]) -> list[bool]:
    """Send a ping; return whether each of the secrets verifies it."""
    assert terminal.run("endpoints", "test", receiver.url).exit_code == 0
    request, verified = receiver.requests[-1], []
    for secret in secrets:
        try:
            verified.append(verify_webhook(request.body, request.headers, secret)["type"] == "webhook.ping")
        except InvalidWebhook:
            verified.append(False)
    return verified


def test_a_rotated_secret_is_printed_once_and_signs_together_with_the_previous_ones(
    terminal: Terminal, key: str
) -> None:
    with Scripted(answer()) as receiver:
        result = terminal.run("endpoints", "rotate-secret", receiver.url, "--grace", "3600")
        first = result.stdout.strip()
        assert first.startswith("whsec_")
        assert "not shown again" in result.stderr
        assert signatures_of(terminal, receiver, [first, SECRET, new_secret()]) == [True, True, False]
        rotated = terminal.data("endpoints", "rotate-secret", receiver.url, "--grace", "0", "--asymmetric")
        assert signatures_of(terminal, receiver, [rotated["public_key"], first, SECRET]) == [True, False, False]
        shown = terminal.run("endpoints", "show", receiver.url).stdout
        assert rotated["public_key"] in shown
        assert rotated["secret"] not in shown
        assert "-1 is out of range; expected 0 to 604800 seconds (7 days)" in rejected(
            terminal, "rotate-secret", receiver.url, "--grace", "-1"
        )
        assert "pass --yes" in rejected(terminal, "forget-secret", receiver.url)
        assert terminal.run("endpoints", "forget-secret", receiver.url, "--yes").exit_code == 0
        assert signatures_of(terminal, receiver, [SECRET, rotated["public_key"]]) == [True, False]


def test_enabling_an_open_endpoint_sends_at_once(terminal: Terminal, database_url: str) -> None:
    database = Database(database_url)
    with Receiver() as receiver:
        port = int(receiver.url.split(":")[2].split("/")[0])
        configure(database, f"http://127.0.0.1:{port}", breaker="open", open_until=NOW + HOUR, failing_since=NOW)
        owe(database, to(port))
        terminal.run("endpoints", "enable", receiver.url)
        with Sending(database, options=options()):
            receiver.wait_for(lambda seen: len(seen.bodies) == 1)
    database.close()


def test_an_endpoint_with_only_successful_deliveries_is_listed(terminal: Terminal, database: Database) -> None:
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
        assert (
            "delivered     3 of the latest 100,000 deliveries" in terminal.run("endpoints", "show", receiver.url).stdout
        )
        assert "0 paused callbacks" in terminal.run("endpoints", "enable", receiver.url).stderr


def test_a_ping_to_an_open_endpoint_is_sent_with_a_warning(terminal: Terminal, database: Database) -> None:
    with Receiver() as receiver:
        origin = receiver.url.rpartition("/")[0]
        configure(database, origin, breaker="open", open_until=NOW + HOUR, failing_since=NOW)
        result = terminal.run("endpoints", "test", receiver.url)
        warning = f"{origin} receives pings but no callbacks: it is open until {format_time(NOW + HOUR)}; "
        assert (result.exit_code, warning in result.stderr) == (0, True), result.stderr
        assert f"to send callbacks, run `pipeline endpoints enable {origin}`" in result.stderr


def test_probable_mistakes_are_reported_and_the_latest_reason_is_kept(terminal: Terminal, key: str) -> None:
    assert terminal.data("endpoints", "list") == []
    stderr = terminal.run("endpoints", "disable", HERE, "--reason", "one").stderr
    assert f"endpoint {ORIGIN} was unknown; check that it is the one you mean" in stderr
    stderr = terminal.run("endpoints", "disable", HERE, "--reason", "two").stderr
    assert "was unknown" not in stderr
    assert terminal.run("endpoints", "disable", HERE).exit_code == 0
    assert terminal.data("endpoints", "show", HERE)["reason"] == "manual: two"
    assert ": two\n" in terminal.run("endpoints", "show", HERE).stdout
    stderr = terminal.run("endpoints", "set", HERE, "--no-header", "X-None").stderr
    assert stderr == f"{ORIGIN} has no header 'X-None' to remove\n"


def test_defaults_and_reasons_are_explained_and_dead_callbacks_can_be_resent(
    terminal: Terminal, database: Database
) -> None:
    with Scripted(answer(410)) as receiver:
        owe(database, to(receiver.port))
        with Sending(database):
            wait_until(lambda: states(database) == ["dead"])
        shown = terminal.run("endpoints", "show", receiver.url).stdout
        assert ": it answered 410 Gone\n" in shown
        fields = {name: " ".join(rest) for name, *rest in map(str.split, filter(None, shown.splitlines())) if rest}
        assert (fields["in-flight"], fields["coalesce-ms"]) == ("default: 64", "default: 1000")
        stderr = terminal.run("endpoints", "enable", receiver.url).stderr
        origin = receiver.url.rpartition("/")[0]
        assert f"1 callback dead; to resend, run `pipeline deliveries recover --endpoint {origin}`" in stderr


def test_secrets_have_fingerprints_and_a_grace_has_a_unit(terminal: Terminal, key: str) -> None:
    first = terminal.data("endpoints", "rotate-secret", HERE, "--grace", "1d")
    assert first["grace_seconds"] == 86_400
    result = terminal.run("endpoints", "rotate-secret", HERE, "--grace", "1w")
    newest = result.stdout.strip()
    assert f"fingerprint {fingerprint(newest)}; previous secrets sign for another" in result.stderr
    fingerprints = [secret["fingerprint"] for secret in terminal.data("endpoints", "show", HERE)["secrets"]]
    assert fingerprints == [fingerprint(newest), first["fingerprint"], fingerprint(SECRET)]
    assert f"whsec_… {first['fingerprint']} until" in terminal.run("endpoints", "show", HERE).stdout
    assert "expected 0 to 604800 seconds (7 days)" in rejected(terminal, "rotate-secret", HERE, "--grace", "8d")


def test_log_messages_are_not_printed(terminal: Terminal, tmp_path: Path) -> None:
    terminal.write_definition()
    terminal.run("submit", str(terminal.write_items(["x"])))
    with terminal.start("endpoints", "disable", HERE) as process:
        stderr = process.communicate(timeout=60)[1].decode()
    assert "is disabled; 0 callbacks paused" in stderr
    assert "endpoint_disabled" not in stderr
