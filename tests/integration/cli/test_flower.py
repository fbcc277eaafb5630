"""`pipeline flower`: a real Flower on a real Redis, asked through HTTP."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.flower import Flower, flower
from tests.support.servers.redis import Redis
from tests.support.terminal import ROOT, Terminal

# All but a few look at one Flower.
pytestmark = pytest.mark.xdist_group("flower")

#: What no page may show.
BROKER_PASSWORD = "analytical-engine"


@pytest.fixture(scope="module")
def broker_url(redis: Redis) -> str:
    """The URL of a broker that asks for a password."""
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
    """Flower as most people run it; tests leave it running."""
    with flower(Terminal(tmp_path_factory.mktemp("flower")), broker_url) as started:
        yield started


@pytest.mark.parametrize("path", ["/", "/tasks", "/broker", "/api/tasks", "/api/workers", "/api/queues/length"])
def test_pages_and_api_are_for_those_who_sign_in(running: Flower, path: str) -> None:
    assert running.get(path, user="").status == 401
    assert running.get(path, password="wrong").status == 401
    shown = running.get(path)
    assert shown.status == 200
    assert BROKER_PASSWORD not in shown.body


def test_it_says_that_it_is_alive_without_a_password(running: Flower) -> None:
    assert running.get("/healthcheck", user="").body == "OK"


def test_it_listens_on_this_machine_only(running: Flower) -> None:
    assert running.url.startswith("http://127.0.0.1:")
    port = int(running.url.rpartition(":")[2])
    # Whoever listens on every address has this one, too.
    with socket.socket() as another:
        another.bind(("127.0.0.2", port))


def test_queues_show_what_waits_in_them(running: Flower, terminal: Terminal, broker_url: str) -> None:
    before = running.queues()
    assert set(before) == {"classify", "enrich", "deliver", "control"}
    terminal.write_definition()
    assert terminal.run("db", "upgrade").exit_code == 0
    submitting = terminal.start(
        "submit", str(terminal.write_items(["x"])), environment={"PIPELINE_BROKER_URL": broker_url}
    )
    _, complaint = submitting.communicate(timeout=60)
    assert submitting.returncode == 0, complaint
    # A submission wakes the dispatcher; nobody is there to hear it.
    assert running.queues() == {**before, "control": before["control"] + 1}


def test_who_signs_in_may_look_but_not_touch(running: Flower) -> None:
    before = running.queues()
    assert running.post("/api/task/send-task/control.dispatch", {"args": []}).status == 403
    assert running.queues() == before


def test_control_is_given_by_an_option(terminal: Terminal, broker_url: str) -> None:
    with flower(terminal, broker_url, "--allow-control") as running:
        before = running.queues()
        assert running.post("/api/task/send-task/control.dispatch", {"args": []}).status == 200
        assert running.queues()["control"] == before["control"] + 1


def test_without_a_chosen_password_one_is_made_and_said(terminal: Terminal, broker_url: str) -> None:
    with flower(terminal, broker_url, PIPELINE_FLOWER_AUTH="") as running:
        assert running.process.stderr is not None
        hint = running.process.stderr.readline().decode()
        user, _, password = hint.removeprefix("sign in as ").partition(";")[0].partition(" with the password ")
        assert len(password) >= 20
        assert running.get("/api/tasks", user=user, password=password).status == 200
        assert running.get("/api/tasks").status == 401


def test_a_path_of_its_own_below_a_proxy(terminal: Terminal, broker_url: str) -> None:
    with flower(terminal, broker_url, "--url-prefix", "/tasks-of/pipeline/") as running:
        assert running.url.endswith("/tasks-of/pipeline")
        page = running.get("/tasks")
        assert page.status == 200
        assert 'href="/tasks-of/pipeline/static/' in page.body


@pytest.mark.parametrize("hangs", [False, True])
def test_a_stop_waits_for_no_broker(terminal: Terminal, broker_url: str, redis: Redis, hangs: bool) -> None:
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


def test_configuration_files_of_the_current_directory_are_not_run(terminal: Terminal, broker_url: str) -> None:
    terminal.write("flowerconfig.py", "open('ran', 'w').close()\n")
    with flower(terminal, broker_url) as running:
        assert running.get("/healthcheck").status == 200
    assert not (terminal.folder / "ran").exists()


@pytest.mark.parametrize(
    ("words", "environment", "code", "said"),
    [
        ((), {"PIPELINE_BROKER_URL": ""}, 2, "nothing to watch: PIPELINE_BROKER_URL is not set"),
        ((), {"PIPELINE_BROKER_URL": "redis://ada:hidden@127.0.0.1:1/0"}, 3, "redis://127.0.0.1:1/0: Error 111"),
        ((), {"PIPELINE_FLOWER_AUTH": "hidden"}, 2, "PIPELINE_FLOWER_AUTH: expected user:password"),
        (("--no-auth", "--address", "0.0.0.0"), {}, 2, "would show tasks to the network"),
        (("--no-auth", "--allow-control"), {}, 2, "leave out one"),
        (("--broker-api", "http://ada:hidden@127.0.0.1:1/api/"), {}, 2, "PIPELINE_FLOWER_BROKER_API instead"),
        ((), {"PIPELINE_FLOWER_BROKER_API": "ada:hidden@127.0.0.1:1"}, 2, "expected a URL such as http://"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(
    terminal: Terminal,
    broker_url: str,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    environment: dict[str, str],
    code: int,
    said: str,
) -> None:
    for name, value in {"PIPELINE_BROKER_URL": broker_url, **environment}.items():
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name, raising=False)
    refused = terminal.run("flower", "--port", "0", *words)
    assert refused.exit_code == code
    assert said in refused.output
    assert "hidden" not in refused.output
    assert BROKER_PASSWORD not in refused.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--broker-api", "rabbit:15672"), "it is like http://"),
        (("--address", "192.0.2.1"), "cannot listen on 192.0.2.1 port 0"),
    ],
)
def test_what_flower_itself_cannot_do_is_refused_with_the_reason(
    terminal: Terminal, broker_url: str, words: tuple[str, ...], said: str
) -> None:
    process = terminal.start("flower", "--port", "0", *words, environment={"PIPELINE_BROKER_URL": broker_url})
    _, complaint = process.communicate(timeout=60)
    assert process.returncode == 2
    assert said in complaint.decode()
    assert BROKER_PASSWORD not in complaint.decode()


def test_without_the_extra_it_says_how_to_install_it(terminal: Terminal, broker_url: str) -> None:
    script = (
        "import sys; sys.modules['flower'] = None; sys.argv[1:] = ['flower']; from pipeline.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": str(ROOT), "PIPELINE_BROKER_URL": broker_url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "pip install 'pipeline[flower]'" in done.stderr
