"""Processes that are killed: nothing is lost and nothing counts twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from pathlib import Path

import orjson
import pytest

from pipeline.database.engine import Database
from tests.support.invariants import assert_complete, assert_delivered
from tests.support.paths import ROOT
from tests.support.receiver import SECRET, Receiver
from tests.support.servers.warm_process import start_python
from tests.support.servers.worker import wait_for

DEFINITION = """
name = "killed"
[classify]
use = "callables_of_killed:classify"
[[enrich]]
use = "callables_of_killed:enrich"
[retry]
base_seconds = 0.01
"""

CALLABLES = """
import os
from pipeline import batched

@batched(max_items=64)
def classify(items):
    for item in items:
        if item.text == "poison":
            os._exit(66)
    return ["x"] * len(items)

async def enrich(item):
    return {"characters": len(item.text)}
"""


class Run:
    """`pipeline run` as a process of its own, on the files in a folder."""

    def __init__(self, folder: Path, texts: list[str], callback_url: str) -> None:
        self.folder = folder
        self.callback_url = callback_url
        (folder / "killed.toml").write_text(DEFINITION)
        (folder / "callables_of_killed.py").write_text(CALLABLES)
        lines = [orjson.dumps({"text": text}) for text in texts]
        (folder / "items.jsonl").write_bytes(b"\n".join(lines))
        self.database = Database(f"sqlite:///{folder / 'pipeline.db'}")

    def start(self) -> subprocess.Popen[bytes]:
        command = ["-m", "pipeline", "run", "items.jsonl", "-p", "killed.toml"]
        command += ["--idempotency-key", "once", "--callback-url", self.callback_url]
        command += ["--batch-callback-url", self.callback_url, "-o", "results.jsonl"]
        settings = {
            "PIPELINE_DATABASE_URL": "sqlite:///pipeline.db",
            "PIPELINE_WEBHOOK_SECRET": SECRET,
            "PIPELINE_ALLOW_PRIVATE_CALLBACKS": "127.0.0.0/8",
            "PYTHONPATH": str(ROOT),
        }
        null = subprocess.DEVNULL
        return start_python(command, cwd=self.folder, env=os.environ | settings, stdin=null, stdout=null, stderr=null)

    def losses(self) -> list[tuple[object, ...]]:
        """Return what did not succeed, for the message of a failed assertion."""
        query = "SELECT id, state, attempt, crashes, error_type, error_message FROM items WHERE state <> 'succeeded'"
        with self.database.read() as connection:
            return [tuple(row) for row in connection.exec_driver_sql(query)]

    def batch_id(self) -> str:
        with self.database.read() as connection:
            return str(connection.exec_driver_sql("SELECT public_id FROM batches").scalar_one())


@pytest.mark.timeout(300)
def test_a_run_killed_at_ten_random_moments_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    number, seed = 2_000, random.randrange(10**6)
    moments = random.Random(seed)
    print(f"seed {seed}")
    with Receiver() as receiver:
        run = Run(tmp_path, [f"text {n}" for n in range(number)], receiver.url)
        kills = 0
        while kills < 10:
            process = run.start()
            if kills % 2:
                under_way(process, receiver)
            try:
                # Not a wait for anything: the end of this time is the random moment, while it starts or works.
                process.wait(timeout=moments.uniform(0, 0.4))
                break
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                kills += 1
        assert run.start().wait(timeout=120) == 0, run.losses()
        batch_id = run.batch_id()
        states = assert_complete(run.database, batch_id, number)
        assert_delivered(run.database, batch_id, number + 1)

    assert states == {"succeeded": number}
    assert len(receiver.bodies) == number + 1
    assert all(len(set(bodies)) == 1 for bodies in receiver.bodies.values())
    assert len({data["item_id"] for data in receiver.of_type("item.completed")}) == number
    assert len(receiver.of_type("batch.completed")) == 1
    lines = (tmp_path / "results.jsonl").read_bytes().splitlines()
    assert len({orjson.loads(line)["item_id"] for line in lines}) == len(lines) == number
    print(f"{kills} kills, {sum(map(len, receiver.bodies.values())) - number - 1} deliveries made twice")


def under_way(process: subprocess.Popen[bytes], receiver: Receiver) -> None:
    """Wait until a run has made a callback, or has ended."""
    before = len(receiver.bodies)
    wait_for(lambda: len(receiver.bodies) > before or process.poll() is not None)


@pytest.mark.timeout(300)
def test_an_item_that_kills_its_process_ends_dead_and_takes_nobody_along(tmp_path: Path) -> None:
    with Receiver() as receiver:
        run = Run(tmp_path, ["poison" if n == 40 else f"text {n}" for n in range(100)], receiver.url)
        ends = []
        while not ends or ends[-1] == 66:
            ends.append(run.start().wait(timeout=60))
            assert len(ends) < 6
        states = assert_complete(run.database, run.batch_id(), 100)
        assert_delivered(run.database, run.batch_id(), 101)
    assert ends == [66, 66, 66, 66, 1]
    assert states == {"succeeded": 99, "dead": 1}
    assert [data["error"]["type"] for data in receiver.of_type("item.failed")] == ["worker_died"]
