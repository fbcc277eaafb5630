"""`pipeline doctor`, `db` and `secret`, and the program itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from pipeline.bootstrap import make_context
from pipeline.crypto.ed25519_key import derive_public_key
from pipeline.crypto.encryption import Encryption
from pipeline.crypto.secrets import parse_secret
from pipeline.database.engine import Database
from pipeline.delivery.endpoint_secrets import rotate
from pipeline.settings import load
from tests.support.receiver import SECRET
from tests.support.terminal import Terminal


def run_doctor(terminal: Terminal, code: int) -> dict[str, Any]:
    """Run `pipeline doctor`, which must exit with `code`; return its checks by name."""
    result = terminal.run("doctor", "--json")
    assert result.exit_code == code, result.output
    return {check["name"]: check for check in json.loads(result.stdout)}


def test_an_empty_folder_passes_and_stays_empty(terminal: Terminal) -> None:
    found = run_doctor(terminal, 0)
    assert found["python"]["verdict"] == "ok"
    assert "first run creates it" in found["database"]["value"]
    assert found["broker"]["value"].startswith("none")
    assert found["PIPELINE_WEBHOOK_SECRET"]["verdict"] == "warn"
    assert list(terminal.folder.iterdir()) == []


def test_an_existing_database_is_checked(terminal: Terminal) -> None:
    terminal.write_definition()
    terminal.run("submit", str(terminal.write_items(["x"])))
    found = run_doctor(terminal, 0)
    assert found["journal mode"]["value"] == "wal"
    assert found["writable"]["verdict"] == "ok"
    assert found["schema"]["verdict"] == "ok"
    assert "mail" in found["definition mail.toml"]["value"]


def test_a_check_with_a_problem_has_advice(terminal: Terminal) -> None:
    shown = terminal.run("doctor").stdout
    assert "→ callbacks need a secret: export PIPELINE_WEBHOOK_SECRET=$(pipeline secret)\n" in shown


def test_a_missing_definitions_folder_is_reported_once(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_DEFINITIONS", "nowhere")
    checks = json.loads(terminal.run("doctor", "--json").stdout)
    assert [check["verdict"] for check in checks if check["name"] == "definitions"] == ["fail"]


def test_secrets_are_never_shown(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_WEBHOOK_SECRET", SECRET)
    monkeypatch.setenv("PIPELINE_DATABASE_URL", "postgresql://ada:lovelace@127.0.0.1:1/x?password=byron")
    monkeypatch.setenv("PIPELINE_BROKER_URL", "redis://:babbage@127.0.0.1:1/0")
    result = terminal.run("doctor")
    assert result.exit_code == 3
    assert "127.0.0.1:1" in result.stdout
    for word in (SECRET, "lovelace", "byron", "babbage"):
        assert word not in result.output
    assert run_doctor(terminal, 3)["broker"]["verdict"] == "unreachable"


def test_an_invalid_definition_or_setting_fails(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal.write("bad.toml", 'name = "bad"\n[classify]\nuse = "sklearn"\nmodel = "missing.skops"\n')
    assert run_doctor(terminal, 1)["definition bad.toml"]["verdict"] == "fail"
    monkeypatch.setenv("PIPELINE_CONCURRENCY", "many")
    assert "PIPELINE_CONCURRENCY" in run_doctor(terminal, 1)["settings"]["value"]


def test_the_database_version_is_shown_and_upgraded(terminal: Terminal) -> None:
    assert terminal.run("db", "current").exit_code == 2
    assert terminal.run("db", "upgrade").exit_code == 0
    assert terminal.data("db", "current")["is_current"] is True

    database = Database("sqlite:///pipeline.db")
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    database.close()
    result = terminal.run("db", "current", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["database"] == "9999"
    assert run_doctor(terminal, 1)["schema"]["verdict"] == "fail"


def test_a_secret_is_new_and_valid(terminal: Terminal) -> None:
    first, second = (terminal.run("secret").stdout.strip() for _ in range(2))
    assert first != second
    assert len(parse_secret(first)) == 32


def test_endpoint_secrets_that_cannot_be_decrypted_fail(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal.write_definition()
    terminal.run("submit", str(terminal.write_items(["x"])))
    assert "endpoints" not in run_doctor(terminal, 0)
    monkeypatch.setenv("PIPELINE_ENCRYPTION_KEY", terminal.run("secret", "--encryption-key").stdout.strip())
    context = make_context(load())
    rotate(context, "https://receiver.example/hook")
    context.database.close()
    assert run_doctor(terminal, 0)["endpoints"]["value"].startswith("1 endpoint")
    monkeypatch.delenv("PIPELINE_ENCRYPTION_KEY")
    found = run_doctor(terminal, 1)["endpoints"]
    assert "https://receiver.example:443" in found["value"]
    assert "PIPELINE_ENCRYPTION_KEY" in found["advice"]


def test_an_asymmetric_secret_is_printed_with_its_public_key(terminal: Terminal) -> None:
    result = terminal.run("secret", "--asymmetric")
    assert derive_public_key(result.stdout.strip()) in result.stderr
    generated = json.loads(terminal.run("secret", "--asymmetric", "--json").stdout)
    assert generated["public_key"] == derive_public_key(generated["secret"])


def test_an_encryption_key_is_new_and_valid(terminal: Terminal) -> None:
    first, second = (terminal.run("secret", "--encryption-key").stdout.strip() for _ in range(2))
    assert first != second
    assert Encryption([first]).decrypt(Encryption([first]).encrypt([1])) == [1]
    assert terminal.run("secret", "--encryption-key", "--asymmetric").exit_code == 2


def test_the_version_is_printed(terminal: Terminal) -> None:
    assert terminal.run("--version").stdout.startswith("pipeline ")


def test_any_label_can_be_printed_on_any_terminal(terminal: Terminal) -> None:
    terminal.write_definition()
    items = terminal.write_items(["an invoice"])
    terminal.write("mail.toml", Path("mail.toml").read_text().replace('"billing"', '"請求 [x]"'))
    ascii_terminal = {"PYTHONIOENCODING": "ascii", "NO_COLOR": "1", "TERM": "dumb"}
    process = terminal.start("run", str(items), "-o", "-", environment=ascii_terminal)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    assert json.loads(stdout)["label"] == "請求 [x]"
    assert b"\\u8acb\\u6c42 [x]" in stderr
    assert stderr.isascii()
