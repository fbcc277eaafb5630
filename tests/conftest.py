"""What every test needs: a clean environment, and no network but this machine's."""

from __future__ import annotations

import os
import sys
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# Several processes share the cores: libraries that compute with a thread per core would wait for each other.
for _library in ("OMP", "OPENBLAS"):
    os.environ[f"{_library}_NUM_THREADS"] = "1"
# Before anything of ours is imported: celeryconfig reads the settings then.
for _name in [name for name in os.environ if name.startswith("PIPELINE_")]:
    del os.environ[_name]

# These import what is ours, hence not here.
pytest_plugins = [
    "tests.support.collection",
    "tests.support.servers.fixtures",
    "tests.support.terminal",
    "tests.support.transports",
]

# A busy machine draws an example slowly: that says nothing of the code. Examples are few, since each run has others.
settings.register_profile(
    "unhurried",
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "40")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("unhurried")


def _refuse_the_network(event: str, args: tuple[Any, ...]) -> None:
    if event not in ("socket.connect", "socket.sendto"):
        return
    address = args[1]
    # Sockets of the file system have a path as address.
    if not isinstance(address, tuple) or address[0] in ("", "localhost"):
        return
    if not ip_address(address[0].partition("%")[0]).is_loopback:
        raise RuntimeError(f"a test reaches for {address[0]}; tests talk to this machine only")


# An audit hook sees every library, whichever function it connects by.
sys.addaudithook(_refuse_the_network)


@pytest.fixture(autouse=True, scope="session")
def _only_known_fields_of_events() -> None:
    """Refuse events and fields that pipeline/telemetry/log_fields.py does not have."""
    from pipeline import log
    from pipeline.telemetry.log_fields import check_fields

    log.check = check_fields


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo what a test before this one left in the environment."""
    for name in [name for name in os.environ if name.startswith("PIPELINE_")]:
        monkeypatch.delenv(name)
