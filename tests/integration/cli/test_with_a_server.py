"""Commands against a server say and do what they say and do on its database."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner

from pipeline.cli import main
from pipeline.crypto.encryption import new_encryption_key
from tests.support.factories import connect
from tests.support.gateway import ServedApi, serving
from tests.support.receiver import SECRET, Receiver
from tests.support.receivers.owed import wait_until
from tests.support.terminal import Terminal

SETTINGS = {"PIPELINE_WEBHOOK_SECRET": SECRET, "PIPELINE_ALLOW_PRIVATE_CALLBACKS": "127.0.0.0/8"}


class Said(NamedTuple):
    code: int
    out: str
    err: str


class Desk(NamedTuple):
    """A server with one batch: m-1 succeeded, m-2 and m-3 are dead, and no callback arrived."""

    api: ServedApi
    folder: Path
    batch: str
    origin: str
    delivery: str
    key: str
    encryption_key: str

    def on_database(self, *words: str) -> Said:
        environment = {"PIPELINE_DATABASE_URL": f"sqlite:///{self.folder / 'pipeline.db'}", **SETTINGS}
        return self._run(words, environment | {"PIPELINE_ENCRYPTION_KEY": self.encryption_key})

    def on_server(self, *words: str) -> Said:
        return self._run(words, {"PIPELINE_SERVER_URL": self.api.url, "PIPELINE_API_KEY": self.key})

    def _run(self, words: tuple[str, ...], environment: dict[str, str]) -> Said:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            found = CliRunner().invoke(main, list(words), env=environment, prog_name="pipeline")
        return Said(found.exit_code, found.stdout, found.stderr)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("desk")
    terminal = Terminal(folder)
    source = terminal.write_obedient_definition()
    source.write_text(source.read_text() + '[input]\nkey = "id"\n')
    encryption_key = new_encryption_key()
    settings = {"webhook_secret": SECRET, "allow_private_callbacks": "127.0.0.0/8", "encryption_key": encryption_key}
    with connect(folder, definitions=folder, **settings) as client, serving(client) as api:
        with Receiver() as receiver, receiver.refusing(410):
            items = [{"id": f"m-{each}", "text": text} for each, text in enumerate(("go on", "fail", "fail"), 1)]
            batch = client.submit(items, "obedient", callback_url=f"{receiver.url}?token=hidden")
            batch.wait(60)
            wait_until(lambda: not {"pending", "sending"} & {each.state for each in client.deliveries()})
            origin = next(client.endpoints()).origin
        key = api.key(tenant="*")["Authorization"].removeprefix("Bearer ")
        yield Desk(api, folder, batch.id, origin, str(next(client.deliveries()).id), key, encryption_key)


READING: list[tuple[str, ...]] = [
    ("status",), ("status", "--json"), ("status", "last"), ("status", "last", "--full", "--json"), ("status", "zz zz"),
    ("show", "m-1"), ("show", "m-2", "--payload", "--json"), ("show", "BATCH"), ("show", "BATCH-1", "--json"),
    ("show", "last-2"), ("show", "no-such"), ("show", "BATCH-9"), ("show", "m-1", "--batch", "BATCH"),
    ("dead", "list"), ("dead", "list", "last", "--json"), ("dead", "list", "--limit", "1"), ("dead", "list", "zz"),
    ("dead", "summary"), ("dead", "summary", "last", "--stage", "classify", "--since", "1h", "--json"),
    ("dead", "show", "m-2"), ("dead", "show", "m-1"), ("dead", "show", "no-such"),
    ("dead", "replay", "last"), ("dead", "replay", "last", "--item", "m-1", "--yes"),
    ("deliveries", "list"), ("deliveries", "list", "--batch", "last", "--state", "paused", "--json"),
    ("deliveries", "list", "--item", "m-1", "--since", "1h"), ("deliveries", "list", "--endpoint", "nowhere"),
    ("deliveries", "list", "--endpoint", "ORIGIN", "--limit", "1"), ("deliveries", "list", "--item", "no-such"),
    ("deliveries", "show", "DELIVERY"), ("deliveries", "show", "DELIVERY", "--json"), ("deliveries", "show", "99999"),
    ("deliveries", "show", "m-1"), ("deliveries", "replay", "DELIVERY"),
    ("deliveries", "recover", "--dry-run"), ("deliveries", "recover", "--batch", "last", "--dry-run", "--json"),
    ("deliveries", "recover", "--since", "1h", "--until", "2h", "--dry-run"),
    ("deliveries", "replay-missing", "http://127.0.0.1:9/hook", "--batch", "last", "--dry-run"),
    ("deliveries", "replay-missing", "ftp://127.0.0.1/", "--batch", "last", "--dry-run"),
    ("endpoints", "list"), ("endpoints", "list", "--json"), ("endpoints", "list", "--after", "https://zz.example"),
    ("endpoints", "show", "ORIGIN"), ("endpoints", "show", "ORIGIN", "--json"), ("endpoints", "show", "https://a.b"),
    ("endpoints", "enable", "https://a.b"), ("endpoints", "set", "ORIGIN", "--rate", "0"),
    ("endpoints", "forget-secret", "ORIGIN"), ("endpoints", "test", "ftp://a.b"),
    ("watch", "last", "--quiet"), ("results", "last"), ("results", "last", "--state", "dead"),
    ("pause", "last"), ("resume", "zz"), ("cancel", "last", "--yes"),
]  # fmt: skip


@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_a_command_says_on_a_server_what_it_says_on_the_database(desk: Desk, words: tuple[str, ...]) -> None:
    names = {"BATCH": desk.batch, "ORIGIN": desk.origin, "DELIVERY": desk.delivery}
    given = [desk.batch + word[5:] if word.startswith("BATCH-") else names.get(word, word) for word in words]
    there, here = desk.on_server(*given), desk.on_database(*given)
    assert (there.code, there.out) == (here.code, here.out)
    # What is not there is named by the server, which does not say why to everybody.
    assert there.err == here.err or (here.code == 2 and there.err[:20] == here.err[:20])


@pytest.mark.parametrize("run", [Desk.on_database, Desk.on_server], ids=["on the database", "on the server"])
def test_an_endpoint_is_repaired(desk: Desk, run: Callable[..., Said]) -> None:
    def said(*words: str) -> str:
        code, out, err = run(desk, *words)
        assert code == 0, err
        return out + err

    origin = desk.origin
    assert "20" in said("endpoints", "set", origin, "--rate", "20", "--no-header", "X-None")
    assert json.loads(said("endpoints", "rotate-secret", origin, "--json"))["secret"].startswith("whsec_")
    assert "deleted the secrets" in said("endpoints", "forget-secret", origin, "--yes")
    assert "disabled" in said("endpoints", "disable", origin, "--reason", "it moves")
    assert json.loads(said("endpoints", "enable", origin, "--json"))["origin"] == origin
    assert run(desk, "endpoints", "test", f"{origin}/hook", "--json")[0] == 1
    assert "callbacks dead" not in said("endpoints", "disable", origin)
    assert "0 callbacks" in said("deliveries", "recover", "--yes")


def test_dead_items_are_replayed_on_a_server(desk: Desk) -> None:
    assert desk.on_server("dead", "replay", desk.batch, "--item", "m-2", "--yes", "--json")[0] == 0
    desk.on_server("watch", desk.batch, "--quiet")
    assert '"attempts": 2' in desk.on_server("dead", "show", "m-2", "--json").out
    code, out, err = desk.on_server("dead", "replay", desk.batch, "--yes")
    assert (code, out, err) == (0, "", f"2 dead items of batch {desk.batch} pending again\n")


@pytest.mark.parametrize(
    "words", [("worker",), ("serve",), ("flower",), ("keys", "list"), ("db", "current"), ("deliveries", "send")],
    ids=" ".join,
)  # fmt: skip
def test_what_needs_a_database_says_so(desk: Desk, words: tuple[str, ...]) -> None:
    name = " ".join(words)
    refused = f"error: `pipeline {name}` works on a database; unset PIPELINE_SERVER_URL\n"
    assert desk.on_server(*words) == (2, "", refused)


def test_doctor_checks_server_and_key(desk: Desk) -> None:
    found = desk.on_server("doctor", "--json")
    checks = {check["name"]: check for check in json.loads(found.out)}
    assert found.code == 0
    assert [checks[name]["verdict"] for name in ("server", "ready", "key")] == ["ok"] * 3
    assert "tenant *" in checks["key"]["value"]
    assert desk.key not in found.out
    assert desk.on_server("doctor", "--live").code == 2
    wrong = desk._replace(key="pipe_mistyped")
    assert wrong.on_server("doctor").code == 1
    assert wrong.on_server("dead", "list").code == 2


def test_definitions_are_stored_shown_and_deleted_as_on_the_database(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "mail.toml"
    path.write_text(
        'name = "mail"\n[classify]\nuse = "keywords"\ndefault = "other"\nrules = [{ label = "a", any = ["b"] }]\n'
    )
    said: list[list[tuple[int, object]]] = []
    for run in (Desk.on_database, Desk.on_server):
        stored = run(desk, "definitions", "store", str(path), "--json")
        assert stored.code == 0, stored.err
        version = json.loads(stored.out)["version"]
        shown = json.loads(run(desk, "definitions", "show", "mail", "--json").out)
        assert (shown["version"], shown["definition"]["classify"]["use"], shown["is_file"]) == (
            version,
            "keywords",
            False,
        )
        assert run(desk, "definitions", "store", str(path), "--if-version", "none").code == 2
        again = json.loads(run(desk, "definitions", "store", str(path), "--if-version", version, "--json").out)
        assert (again["is_new"], again["version"]) == (False, version)
        listed = json.loads(run(desk, "definitions", "list", "--json").out)
        assert [(each["name"], each["is_file"]) for each in listed] == [("mail", False), ("obedient", True)]
        table, read = run(desk, "definitions", "list"), run(desk, "definitions", "show", "mail")
        assert "mail" in table.out
        assert json.loads(read.out)["name"] == "mail"
        assert run(desk, "definitions", "delete", "mail").code == 2, "nobody can be asked"
        assert run(desk, "definitions", "delete", "mail", "--yes").code == 0
        said.append([(each.code, each.out) for each in [run(desk, "definitions", "show", "mail")]])
    assert said[0] == said[1] == [(2, "")]
