"""`make demo` as a person sees it, and as a script does."""

from __future__ import annotations

import os
import re  # noqa: TID251 - constant patterns
import shutil
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from tests.support.gateway import wait_until
from tests.support.pages import reader_environment
from tests.support.paths import EXAMPLES

HANG_SECONDS = 120


@pytest.fixture
def demo(tmp_path: Path) -> list[str]:
    """The program, in a folder in which it may write."""
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    return [sys.executable, str(tmp_path / "examples" / "demo.py")]


@pytest.mark.slow
def test_in_a_pipe_it_ends_by_itself(demo: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        demo, cwd=tmp_path, env=reader_environment(), capture_output=True, text=True, timeout=HANG_SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Callbacks   251 of 251 arrived" in done.stdout
    assert done.stdout.rstrip().endswith("the same from Python")
    assert not (tmp_path / "demo" / "serve.log").exists()


@pytest.mark.slow
def test_on_a_terminal_it_serves_the_page_until_ctrl_c(demo: list[str], tmp_path: Path) -> None:
    keyboard, terminal = os.openpty()
    process = subprocess.Popen(
        demo,
        cwd=tmp_path,
        env=reader_environment(),
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
        preexec_fn=_take_terminal,
    )
    os.close(terminal)
    try:
        shown = read_until(keyboard, "Ctrl-C ends this")
        found = re.search(r"in a browser: (http://\S+)", shown)
        assert found is not None
        with httpx2.Client(base_url=found[1], trust_env=False, timeout=HANG_SECONDS) as browser:
            page = browser.get("/ui").text
            assert 'data-count="final">250<' in page
            assert "Sign out" not in page
            number = browser.get("/v1/deliveries").json()["data"][0]["id"]
            # The receiver is still there.
            path = f"/ui/deliveries/{number}"
            assert browser.post(f"{path}/replay", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 303
            wait_until(lambda: browser.get(f"/v1/deliveries/{number}").json()["attempts"] == 2)
            assert browser.get(f"/v1/deliveries/{number}").json()["last_status"] == 204
        os.write(keyboard, b"\x03")
        assert process.wait(HANG_SECONDS) == 0
        with pytest.raises(httpx2.ConnectError):
            httpx2.get(found[1], trust_env=False)
    finally:
        process.kill()
        process.wait()
        os.close(keyboard)


def _take_terminal() -> None:
    """Make the terminal the controlling one, so that Ctrl-C reaches all that runs in it."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def read_until(terminal: int, part: str) -> str:
    """What the terminal shows until it shows this."""
    shown = ""
    while part not in shown:
        try:
            shown += os.read(terminal, 65_536).decode(errors="replace")
        except OSError:
            break
    assert part in shown, shown
    return shown
