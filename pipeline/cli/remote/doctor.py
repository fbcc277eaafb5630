"""`pipeline doctor` with a server: what is installed here, and whether the server, its parts and the key will do."""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from pipeline.cli.checks.check import Check, fail, ok, unreachable
from pipeline.cli.checks.configuration import check_settings
from pipeline.cli.checks.environment import check_environment
from pipeline.cli.remote.session import refuse_option
from pipeline.cli.show.checks import report_checks
from pipeline.client.connect import named_server, refuse_two_stores
from pipeline.client.remote.answers import value_of
from pipeline.client.remote.server import Server
from pipeline.errors import AccessDenied, PipelineError, Unreachable
from pipeline.settings import load as load_settings
from pipeline.version import installed_version

#: Those that matter here: the server has its own.
_SETTINGS = ("server_url", "api_key")


def doctor(as_json: bool, live: bool, fleet: bool) -> int:
    """Check what is installed here, the server and the API key."""
    if live or fleet:
        raise refuse_option("--live" if live else "--fleet")
    return report_checks(list(_checks()), as_json=as_json)


def _checks() -> Iterator[Check]:
    yield from check_environment()
    try:
        settings = load_settings()
        refuse_two_stores(settings)
        server = named_server(settings)
    except PipelineError as error:
        yield fail("settings", error, "correct or unset the variable")
        return
    yield from check_settings(settings, _SETTINGS)
    try:
        yield from _check_server(server)
    finally:
        server.close()


def _check_server(server: Server) -> Iterator[Check]:
    try:
        version = str(server.get("/version")["version"])
        ready = server.send("GET", "/ready", is_repeatable=False)
    except Unreachable as error:
        yield unreachable("server", error, "start it, or correct PIPELINE_SERVER_URL")
        return
    except PipelineError as error:
        yield fail("server", error, "correct PIPELINE_SERVER_URL")
        return
    here = installed_version()
    yield ok("server", version if version == here else f"{version}; here is {here}")
    if ready.status == 200:
        yield ok("ready", "yes")
    else:
        yield _not_ready(ready.body)
    yield _check_key(server)


def _not_ready(body: bytes) -> Check:
    try:
        parts = orjson.loads(body)
    except orjson.JSONDecodeError:
        return fail("ready", "the answer is not JSON", "is `pipeline serve` behind PIPELINE_SERVER_URL?")
    wrong = "; ".join(f"{name}: {value}" for name, value in parts.items() if value not in ("ok", False))
    return fail("ready", wrong or "no", "see the log of `pipeline serve`")


def _check_key(server: Server) -> Check:
    try:
        me = value_of(server.send("GET", "/v1/me", is_repeatable=True))
    except AccessDenied as error:
        return fail("key", error, "correct PIPELINE_API_KEY; `pipeline keys create` on the server makes a key")
    except PipelineError as error:
        return unreachable("key", error, "try again")
    return ok("key", f"{me['name']}, tenant {me['tenant']}, scopes {', '.join(me['scopes'])}")
