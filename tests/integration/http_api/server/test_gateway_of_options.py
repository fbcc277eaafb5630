"""What the options of a server make of its gateway."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.access.caller import Caller
from pipeline.http_api.gateway import NoWork
from pipeline.http_api.server.options import ServeOptions
from pipeline.http_api.server.run import listen
from pipeline.http_api.server.serve import make_gateway
from tests.support.factories import client_context, connect


@pytest.mark.parametrize(("processes", "rate"), [(1, 8.0), (4, 2.0)])
def test_processes_share_the_rate_of_a_key(tmp_path: Path, processes: int, rate: float) -> None:
    caller = Caller("k", "name", "default", frozenset(), 8.0)
    with connect(tmp_path) as client, listen("127.0.0.1", 0) as listener:
        gateway = make_gateway(client_context(client), ServeOptions(processes=processes), listener, NoWork())
        allowance = gateway.rates.take(caller)
        gateway.close()
    assert allowance is not None
    assert allowance.rate == rate
