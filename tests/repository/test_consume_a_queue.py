"""What the page on queues shows is run."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import pytest

from tests.support.pages import Desk, commands, reader_environment
from tests.support.paths import EXAMPLES
from tests.support.servers.redis import Redis

PAGE = "docs/how-to/consume-a-queue.md"
SHOWN = [line for block in commands(PAGE) for line in block]


def shown(*words: str) -> str:
    """Return the line of the page that contains all of these words."""
    (line,) = [line for line in SHOWN if all(word in line for word in words)]
    return line


@pytest.mark.slow
@pytest.mark.servers
def test_a_stream_becomes_results(tmp_path: Path, redis: Redis) -> None:
    redis.clear()
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    desk = Desk(tmp_path, reader_environment())
    with redis.client() as client:
        client.execute_command(*shlex.split(shown("XADD"))[1:])
    consume = shown("consume", "redis://").replace("127.0.0.1", f"127.0.0.1:{redis.port}")
    assert "1 item accepted" in desk.type(consume).stderr
    assert "accepted" in desk.type(shown("intakes show")).stdout
    (result,) = map(json.loads, desk.type(shown("results")).stdout.splitlines())
    assert (result["key"], result["state"]) == ("T-1", "succeeded")
    desk.type(shown("rewind"))
    desk.type(shown("resume"))
    assert "1 item accepted" in desk.type(consume).stderr
