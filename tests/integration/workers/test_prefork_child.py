"""Children of the prefork pool, each a process of its own."""

from __future__ import annotations

import os

from tests.support.servers.server import free_port
from tests.support.servers.warm_process import run_python

START = """
from datetime import timedelta
from workers.engine import prefork_child
from workers.app import app

prefork_child.START_PATIENCE = timedelta(0)
prefork_child.RESTART_SECONDS = 0.0
prefork_child.start(app)
print("it runs")
"""


def test_a_child_that_cannot_have_an_engine_ends() -> None:
    nobody = f"127.0.0.1:{free_port()}"
    environment = {"PIPELINE_DATABASE_URL": f"postgresql://{nobody}/x", "PIPELINE_BROKER_URL": f"redis://{nobody}/0"}
    ended = run_python(["-c", START], env=os.environ | environment, text=True)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "child_not_started" in ended.stderr
