"""`pipeline flower`: a real Flower on a real Redis, queried over HTTP."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from celery import Celery

from tests.support.flower import Flower, flower
from tests.support.servers.redis import Redis
from tests.support.terminal import Terminal

# Most tests share one Flower.
pytestmark = pytest.mark.xdist_group("flower")

#: Must not appear on any page.
BROKER_PASSWORD = "analytical-engine"


@pytest.fixture(scope="module")
def broker_url(redis: Redis) -> str:
    """The URL of a broker that requires a password."""
    with redis.client() as client:
        client.acl_setuser(
            "babbage",
            enabled=True,
            passwords=[f"+{BROKER_PASSWORD}"],
            keys=["*"],
            channels=["*"],
            categories=["+@all"],
        )
    return f"redis://babbage:{BROKER_PASSWORD}@127.0.0.1:{redis.port}/0"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, broker_url: str) -> Iterator[Flower]:
    """Flower with default options, shared by tests that do not stop it."""
    with flower(Terminal(tmp_path_factory.mktemp("flower")), broker_url) as started:
        yield started


@pytest.mark.parametrize("path", ["/", "/tasks", "/broker", "/api/tasks", "/api/workers", "/api/queues/length"])
def test_pages_and_api_require_a_login(running: Flower, path: str) -> None:
    assert running.get(path, user="").status == 401
    assert running.get(path, password="wrong").status == 401
    shown = running.get(path)
    assert shown.status == 200
    assert BROKER_PASSWORD not in shown.body


def test_the_health_check_needs_no_login(running: Flower) -> None:
    assert running.get("/healthcheck", user="").body == "OK"


def test_it_listens_on_loopback_only(running: Flower) -> None:
    assert running.url.startswith("http://127.0.0.1:")
    port = int(running.url.rpartition(":")[2])
    # Fails if Flower listens on all addresses.
    with socket.socket() as another:
        another.bind(("127.0.0.2", port))


def test_queue_lengths_are_shown(running: Flower, terminal: Terminal, broker_url: str) -> None:
    before = running.queues()
    assert set(before) == {"classify", "enrich", "deliver", "control"}
    terminal.write_definition()
    assert terminal.run("db", "upgrade").exit_code == 0
    submitting = terminal.start(
        "submit", str(terminal.write_items(["x"])), environment={"PIPELINE_BROKER_URL": broker_url}
    )
    _, stderr = submitting.communicate(timeout=60)
    assert submitting.returncode == 0, stderr
    # A submission sends a wake-up message to the dispatcher; no worker takes it.
    assert running.queues() == {**before, "control": before["control"] + 1}


def test_it_is_read_only_by_default(running: Flower) -> None:
    before = running.queues()
    assert running.post("/api/task/send-task/control.dispatch", {"args": []}).status == 403
    assert running.queues() == before


def test_an_option_allows_control(terminal: Terminal, broker_url: str) -> None:
    with flower(terminal, broker_url, "--allow-control") as running:
        before = running.queues()
        assert running.post("/api/task/send-task/control.dispatch", {"args": []}).status == 200
        assert running.queues()["control"] == before["control"] + 1


def test_a_password_is_generated_and_printed(terminal: Terminal, broker_url: str) -> None:
    with flower(terminal, broker_url, PIPELINE_FLOWER_AUTH="") as running:
        assert running.process.stderr is not None
        hint = running.process.stderr.readline().decode()
        user, _, password = hint.removeprefix("sign in as ").partition(";")[0].partition(" with the password ")
        assert len(password) >= 20
        assert running.get("/api/tasks", user=user, password=password).status == 200
        assert running.get("/api/tasks").status == 401


def test_a_url_prefix_for_a_proxy(terminal: Terminal, broker_url: str) -> None:
    with flower(terminal, broker_url, "--url-prefix", "/tasks-of/pipeline/") as running:
        assert running.url.endswith("/tasks-of/pipeline")
        page = running.get("/tasks")
        assert page.status == 200
        assert 'href="/tasks-of/pipeline/static/' in page.body
        # What is printed is a page, and so is the address without its last slash.
        assert running.said.rstrip().endswith("/tasks-of/pipeline/")
        assert [running.get(path).status for path in ("/", "")] == [200, 200]


@pytest.mark.parametrize("prefix", ["a(", "a b", "a?x", "é", "a//b", "[a]"])
def test_a_url_prefix_that_is_no_path_is_refused(terminal: Terminal, prefix: str) -> None:
    result = terminal.run("flower", "--url-prefix", prefix)
    assert result.exit_code == 2
    assert "is not a path" in result.stderr


@pytest.mark.parametrize("hangs", [False, True])
def test_stopping_does_not_wait_for_the_broker(terminal: Terminal, broker_url: str, redis: Redis, hangs: bool) -> None:
    with flower(terminal, broker_url) as running:
        assert running.get("/api/workers?refresh=1").status == 200
        if hangs:
            redis.suspend()
        try:
            if hangs:
                with pytest.raises(TimeoutError):
                    running.get("/api/workers?refresh=1", timeout=3)
            assert running.stop() == 0
        finally:
            redis.resume()


def test_flowerconfig_in_the_current_directory_is_not_run(terminal: Terminal, broker_url: str) -> None:
    terminal.write("flowerconfig.py", "open('ran', 'w').close()\n")
    with flower(terminal, broker_url) as running:
        assert running.get("/healthcheck").status == 200
    assert not (terminal.folder / "ran").exists()


@pytest.mark.parametrize(
    ("words", "environment", "code", "message"),
    [
        ((), {"PIPELINE_BROKER_URL": ""}, 2, "there is nothing to show: PIPELINE_BROKER_URL is not set"),
        ((), {"PIPELINE_BROKER_URL": "redis://ada:hidden@127.0.0.1:1/0"}, 3, "redis://127.0.0.1:1/0: Error 111"),
        ((), {"PIPELINE_FLOWER_AUTH": "hidden"}, 2, "PIPELINE_FLOWER_AUTH: expected user:password"),
        (("--no-auth", "--address", "0.0.0.0"), {}, 2, "would expose tasks to the network"),
        (("--no-auth", "--allow-control"), {}, 2, "leave one of them out"),
        (("--broker-api", "http://ada:hidden@127.0.0.1:1/api/"), {}, 2, "PIPELINE_FLOWER_BROKER_API instead"),
        ((), {"PIPELINE_FLOWER_BROKER_API": "ada:hidden@127.0.0.1:1"}, 2, "expected a URL such as http://"),
    ],
)
def test_invalid_options_and_settings_are_rejected(
    terminal: Terminal,
    broker_url: str,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    environment: dict[str, str],
    code: int,
    message: str,
) -> None:
    for name, value in {"PIPELINE_BROKER_URL": broker_url, **environment}.items():
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name, raising=False)
    result = terminal.run("flower", "--port", "0", *words)
    assert result.exit_code == code
    assert message in result.output
    assert "hidden" not in result.output
    assert BROKER_PASSWORD not in result.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--broker-api", "rabbit:15672"), "expected a URL such as http://"),
        (("--address", "192.0.2.1"), "cannot listen on 192.0.2.1 port 0"),
    ],
)
def test_options_that_flower_cannot_use_are_rejected(
    terminal: Terminal, broker_url: str, words: tuple[str, ...], message: str
) -> None:
    process = terminal.start("flower", "--port", "0", *words, environment={"PIPELINE_BROKER_URL": broker_url})
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 2
    assert message in stderr.decode()
    assert BROKER_PASSWORD not in stderr.decode()


def test_without_the_extra_the_message_says_how_to_install_it(terminal: Terminal, broker_url: str) -> None:
    # Whatever of it has been imported is found no more.
    hidden = "[name for name in sys.modules if name.partition('.')[0] == 'flower'] + ['flower']"
    script = f"import sys; sys.modules |= dict.fromkeys({hidden}); from pipeline.cli import main; main(['flower'])"
    process = terminal.start_python("-c", script, environment={"PIPELINE_BROKER_URL": broker_url})
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "pip install 'pipeline[flower]'" in stderr.decode()


def test_a_worker_is_asked_for_events_as_soon_as_it_says_that_it_is_online(running: Flower, broker_url: str) -> None:
    app = Celery(broker=broker_url)
    asked: list[object] = []
    with app.connection() as connection:
        node = app.control.mailbox.Node("ada@here", channel=connection.channel())
        node.listen(callback=lambda body, _: asked.append((body["method"], body["destination"])))
        with app.events.Dispatcher(connection, hostname="ada@here") as dispatcher:
            dispatcher.send("worker-online")
        # All workers are asked every five seconds; this one by its name.
        while ("enable_events", ["ada@here"]) not in asked:
            connection.drain_events(timeout=30)
