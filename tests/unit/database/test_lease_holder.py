"""Which holders are certainly gone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.database.lease_holder import certainly_dead, is_local, new_holder
from tests.support.paths import ROOT
from tests.support.servers.warm_process import run_python


def test_a_living_process_is_not_dead() -> None:
    holder = new_holder()
    assert is_local(holder)
    assert certainly_dead([holder]) == []


def test_a_process_that_is_gone_is_dead() -> None:
    script = "from pipeline.database.lease_holder import new_holder; print(new_holder())"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    gone = run_python(["-c", script], env=environment, text=True).stdout.strip()
    assert certainly_dead([gone, new_holder()]) == [gone]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux says when a process started")
def test_a_process_whose_id_another_has_now_is_dead() -> None:
    """As in a container that is started anew, where the process has the same id every time."""
    # A child has certainly begun later than this process; its parent may have begun in the same tick of the clock.
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        taken_over = new_holder().replace(f"{os.getpid()}.", f"{other.pid}.", 1)
        assert certainly_dead([taken_over]) == [taken_over]
        other.kill()


def test_a_process_whose_start_is_not_known_is_only_dead_if_it_is_gone() -> None:
    pid, _, rest = new_holder().split(".")
    assert certainly_dead([f"{pid}.0.{rest}"]) == []


@pytest.mark.parametrize("holder", ["7.1.abcd@elsewhere", "worker-1", "1.alive@elsewhere", ""])
def test_nothing_is_known_of_a_process_elsewhere(holder: str) -> None:
    assert not is_local(holder)
    assert certainly_dead([holder]) == []


def test_a_name_of_an_older_version_is_not_taken_for_one_of_here() -> None:
    pid, _, rest = new_holder().split(".")
    assert not is_local(f"{pid}.{rest}")
