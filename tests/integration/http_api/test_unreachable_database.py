"""What is answered while the database does not."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from starlette.responses import Response

from pipeline.access.keys import create
from pipeline.bootstrap import context_on
from pipeline.database.engine import Database
from pipeline.database.schema import upgrade_schema
from pipeline.domain.api_key import Scope
from pipeline.http_api.app import make_app
from pipeline.http_api.authentication import Keyring
from pipeline.http_api.call import ApiCall, answer
from pipeline.http_api.gateway import Gateway, GatewayOptions
from pipeline.http_api.operation import Operation
from pipeline.http_api.operations import OPERATIONS
from pipeline.http_api.pools import Pool
from pipeline.settings import Settings
from tests.support.asgi_server import serving_app
from tests.support.uploads import NDJSON, lines, stored, write_definition


async def store(call: ApiCall) -> Response:
    return answer({"key": await call.quick(create, call.context, "another")})


def test_a_database_that_another_program_has_locked_is_a_problem_and_the_server_lives(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'pipeline.db'}", lock_seconds=0.05)
    upgrade_schema(database)
    write_definition(tmp_path)
    context, quick = context_on(Settings(definitions=tmp_path), database), Pool.quick()
    gateway = Gateway(context, GatewayOptions(is_open=True), Keyring(context, quick, is_open=True), quick=quick)
    writing = Operation("test.store", "POST", "/v1/test", Scope.ADMIN, "Store something.", store)
    lock = sqlite3.connect(tmp_path / "pipeline.db", isolation_level=None, check_same_thread=False)
    with serving_app(app=make_app(gateway, (*OPERATIONS, writing))) as served:
        lock.execute("BEGIN IMMEDIATE")
        refused = served.http("POST", "/v1/test")
        assert (refused.status_code, refused.json()["code"]) == (503, "database_unreachable")
        assert refused.headers["retry-after"] == "2"
        for content in (lines(3), lines(9_000)):
            submitted = served.http("POST", "/v1/batches?definition=tickets", content=content, headers=NDJSON)
            assert (submitted.status_code, submitted.json()["code"]) == (503, "database_unreachable")
        assert served.http("GET", "/health").status_code == 200
        # Reading goes on.
        assert served.http("GET", "/v1/me").status_code == 200
        lock.execute("ROLLBACK")
        assert served.http("POST", "/v1/test").status_code == 200
        assert stored(context) == (0, 0, 0, 0)
    lock.close()
    gateway.close()
    database.close()
