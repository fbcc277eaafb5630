"""What the page on queues shows is run, on Redis."""

from __future__ import annotations

import re  # noqa: TID251 - constant patterns
import shutil
from pathlib import Path

import pytest

from pipeline.delivery.targets.protocols import PROTOCOLS
from tests.support.pages import Desk, commands, named, reader_environment
from tests.support.paths import EXAMPLES, ROOT
from tests.support.receiver import SECRET
from tests.support.servers.redis import Redis

PAGE = "docs/how-to/send-results-to-a-queue.md"
SHOWN = [line for block in commands(PAGE) for line in block]


def test_the_page_names_the_extra_of_each_protocol() -> None:
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    assert set(re.findall(r"pipeline\[(\w+)\]", text)) == {each.extra for each in PROTOCOLS.values() if each.extra}


@pytest.mark.slow
@pytest.mark.servers
def test_results_reach_a_stream_as_shown_and_are_read(tmp_path: Path, redis: Redis) -> None:
    redis.clear()
    with redis.client() as client:
        client.execute_command("ACL", "SETUSER", "sender", "on", ">secret", "~results*", "+xadd")
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    settings = {"PIPELINE_CONNECTIONS": "connections.toml", "BUS_PASSWORD": "secret", "PIPELINE_WEBHOOK_SECRET": SECRET}
    desk = Desk(tmp_path, reader_environment() | settings)
    desk.save(PAGE)
    desk.write("connections.toml", named(PAGE, "connections.toml").replace(":6379", f":{redis.port}"))
    outputs = {line: desk.type(line).stdout for line in SHOWN}
    assert next(text for line, text in outputs.items() if "deliveries list" in line).count("conn://bus/results:") == 3
    assert "ok" in next(text for line, text in outputs.items() if "endpoints show" in line)
    read = desk.python("read_stream.py", redis.url, "results:billing").stdout.splitlines()
    with redis.client() as client:
        assert len(read) == client.xlen("results:billing") > 0
    assert all(line.startswith("item.completed T-") and line.endswith(" billing") for line in read)
