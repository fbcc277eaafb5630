"""The applications that docs/how-to/web-application.md shows are served by two processes each, and take batches."""

from __future__ import annotations

import importlib.util
import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from tests.support.pages import SECONDS, blocks, files, named, reader_environment
from tests.support.receivers.owed import wait_until
from tests.support.servers.fixtures import LEFT_OUT
from tests.support.servers.server import free_port
from tests.support.servers.warm_process import start_python

PAGE = "docs/how-to/web-application.md"
ITEMS = [{"id": "T-1", "body": "Please refund the second payment."}, {"id": "T-2", "body": "Where is it?"}]

#: What Django needs around the views.
SITE = """
import django
from django.conf import settings

database = {"ENGINE": "django.db.backends.sqlite3", "NAME": "site.db"}
settings.configure(ALLOWED_HOSTS=["*"], DATABASES={"default": database}, ROOT_URLCONF=__name__, SECRET_KEY="for tests")
django.setup()

from django.core.wsgi import get_wsgi_application
from django.urls import path

import django_views

urlpatterns = [path("batches", django_views.submit), path("batches/<name>", django_views.show)]
app = get_wsgi_application()
"""


def _needs(*packages: str) -> None:
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"{LEFT_OUT}{', '.join(missing)} not installed")


@contextmanager
def _served(folder: Path, *words: str) -> Iterator[int]:
    """Run a server of the page as a module, at a free port, and stop it in good order."""
    for block in files(PAGE):
        (folder / str(block.file)).write_text(block.text, encoding="utf-8")
    (folder / "site_of_django.py").write_text(SITE, encoding="utf-8")
    (folder / "tickets.toml").write_text(named("README.md", "tickets.toml"), encoding="utf-8")
    port = free_port()
    bind = ["--bind", f"127.0.0.1:{port}"] if words[0] == "gunicorn" else ["--port", str(port)]
    with (folder / "log").open("wb") as log:
        program = start_python(
            ["-m", words[0], *bind, *words[1:]],
            cwd=folder,
            env=reader_environment() | {"HOME": str(folder)},
            stdout=log,
            stderr=log,
        )
    try:
        wait_until(lambda: program.poll() is not None or _answers(port), SECONDS)
        yield port
    finally:
        program.send_signal(signal.SIGTERM)
        program.wait(SECONDS)
    said = (folder / "log").read_text()
    assert program.returncode in (0, -signal.SIGTERM), said
    assert "Traceback" not in said, said


def _answers(port: int) -> bool:
    try:
        return _asked(port, "GET", "/batches/none")[0] == 404
    except OSError:
        return False


def _asked(port: int, method: str, path: str, body: Any = None, key: str | None = None) -> tuple[int, dict[str, Any]]:
    headers = {"content-type": "application/json"} | ({"idempotency-key": key} if key else {})
    connection = HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def _commands() -> list[list[str]]:
    """Return the servers that the page starts, as words."""
    lines = [line for block in blocks(PAGE) if block.language == "console" for line in block.commands]
    return [line.split() for line in lines]


@pytest.mark.slow
@pytest.mark.parametrize("words", _commands(), ids=lambda words: words[0])
def test_each_application_shown_takes_a_batch_once_and_finishes_it(words: list[str], tmp_path: Path) -> None:
    _needs("flask", "fastapi", "gunicorn", "uvicorn")
    with _served(tmp_path, *words) as port:
        accepted = [_asked(port, "POST", "/batches", ITEMS, key="order-1") for _ in range(4)]
        assert [status for status, _ in accepted] == [202] * 4
        (batch,) = {answer["batch"] for _, answer in accepted}
        wait_until(lambda: _asked(port, "GET", f"/batches/{batch}")[1]["state"] == "completed")
        assert _asked(port, "GET", f"/batches/{batch}")[1] == {"state": "completed", "total": 2, "final": 2}
        status, refused = _asked(port, "POST", "/batches", [{"id": "T-1", "body": [1]}])
        assert (status, "body" in refused["error"]) == (422, True)


@pytest.mark.slow
def test_the_views_of_django_submit_after_the_commit(tmp_path: Path) -> None:
    _needs("django", "gunicorn")
    with _served(tmp_path, "gunicorn", "--config", "gunicorn_conf.py", "--workers", "2", "site_of_django:app") as port:
        assert _asked(port, "POST", "/batches", ITEMS, key="order-1") == (202, {"accepted": 2})
        wait_until(lambda: _asked(port, "GET", "/batches/last")[1].get("state") == "completed")
        assert _asked(port, "GET", "/batches/last")[1] == {"state": "completed", "total": 2, "final": 2}
