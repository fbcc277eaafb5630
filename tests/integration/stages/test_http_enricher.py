"""The HTTP enricher against a loopback server that responds as a failing or misbehaving service does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from pipeline.domain.item import WorkItem
from pipeline.errors import InvalidDefinition, Permanent, Throttled, Transient
from pipeline.stages.catalog.step import Mode, Step
from pipeline.stages.enrichers.http import Spec, build, files


def item(**payload: Any) -> WorkItem:
    return WorkItem(
        id=1, item_id="b-1", batch_id="b", key="K/1", payload=payload, text="", attempt=1, label="sales", confidence=0.5
    )


def response(body: object = None, status: int = 200, **headers: str) -> bytes:
    """Return the bytes of an HTTP response. Keywords are headers, with `_` for `-`."""
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    fields = {"content-length": str(len(content)), **{name.replace("_", "-"): text for name, text in headers.items()}}
    head = "".join(f"{name}: {text}\r\n" for name, text in fields.items())
    return f"HTTP/1.1 {status} Reason\r\n{head}\r\n".encode() + content


@dataclass
class Request:
    line: str
    head: str
    headers: dict[str, str]
    body: bytes


Handler = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Service:
    """A server that responds with `handle`, and records requests and the number of connections."""

    handle: Handler
    port: int = 0
    connections: int = 0
    requests: list[Request] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode("latin-1").split("\r\n")
                headers = {name.lower(): text for name, _, text in (line.partition(": ") for line in lines[1:] if line)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                self.requests.append(Request(lines[0], head.decode("latin-1"), headers, body))
                await self.handle(self.requests[-1], writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


def respond_with(content: bytes) -> Handler:
    async def handle(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(content)

    return handle


@asynccontextmanager
async def run_service(handle: Handler | bytes, port: int = 0) -> AsyncIterator[Service]:
    service = Service(respond_with(handle) if isinstance(handle, bytes) else handle)
    server = await asyncio.start_server(service.serve, "127.0.0.1", port)
    service.port = server.sockets[0].getsockname()[1]
    try:
        yield service
    finally:
        server.close()


def make_step(
    service: Service, path: str = "/companies/{domain}", environ: dict[str, str] | None = None, **options: Any
) -> Step:
    spec = Spec.model_validate({"use": "http", "url": f"http://127.0.0.1:{service.port}{path}", **options})
    return build(spec, Path(), environ or {})


def enrich(handle: Handler | bytes, *items: WorkItem, **options: Any) -> tuple[list[Any], Service]:
    """Enrich `items` one after the other and return their answers or exceptions, and the service."""

    async def run() -> tuple[list[Any], Service]:
        async with run_service(handle) as service:
            step = make_step(service, **options)
            answers = []
            for each in items or (item(domain="acme.com"),):
                answers += await asyncio.gather(step.call(each), return_exceptions=True)
            await step.call.aclose()
            return answers, service

    return asyncio.run(run())


COMPANY = {"data": {"company": {"name": "Acme"}, "people": [{"email": "a@b.c"}, {"email": "d@e.f"}]}}


def test_a_json_object_is_the_answer() -> None:
    answers, service = enrich(response(COMPANY))
    assert answers == [COMPANY]
    assert service.requests[0].line == "GET /companies/acme.com HTTP/1.1"
    assert service.requests[0].headers["accept"] == "application/json"


def test_fields_are_selected_from_the_response_and_null_if_absent() -> None:
    paths = {
        "name": "data.company.name",
        "second": "data.people[1].email",
        "third": "data.people[2].email",
        "no": "x.y",
    }
    answers, _ = enrich(response(COMPANY), fields=paths)
    assert answers == [{"name": "Acme", "second": "d@e.f", "third": None, "no": None}]


def test_fields_are_selected_from_a_list() -> None:
    answers, _ = enrich(response([{"name": "Acme"}]), fields={"name": "[0].name"})
    assert answers == [{"name": "Acme"}]


def test_values_in_the_url_are_percent_encoded() -> None:
    path = "/a/{name}/{inner.id}/{label}/{key}?q={name}&ok={ok}&{{x}}"
    _, service = enrich(response({}), item(name="Ä/b?c#d&e ../%2e", inner={"id": 7}, ok=True), path=path)
    name = "%C3%84%2Fb%3Fc%23d%26e%20..%2F%252e"
    assert service.requests[0].line == f"GET /a/{name}/7/sales/K%2F1?q={name}&ok=true&{{x}} HTTP/1.1"


@pytest.mark.parametrize("payload", [{}, {"domain": None}, {"domain": ""}, {"domain": ["a"]}, {"domain": ".."}])
def test_an_item_that_makes_no_valid_url_is_dead_and_no_request_is_sent(payload: dict[str, Any]) -> None:
    answers, service = enrich(response({}), item(**payload))
    assert isinstance(answers[0], Permanent)
    assert "'domain'" in str(answers[0])
    assert service.requests == []


def test_an_item_with_a_value_too_long_for_a_url_is_dead() -> None:
    answers, _ = enrich(response({}), item(domain="x" * 100_000))
    assert isinstance(answers[0], Permanent)
    assert "too long" in str(answers[0])


def test_headers_read_secrets_from_the_environment() -> None:
    headers = {"Authorization": "Bearer ${CRM_TOKEN}", "X-Price": "$5"}
    _, service = enrich(response({}), headers=headers, environ={"CRM_TOKEN": "s3cret\n"})
    assert service.requests[0].headers["authorization"] == "Bearer s3cret"
    assert service.requests[0].headers["x-price"] == "$5"


def test_a_configured_header_replaces_the_default_in_any_case() -> None:
    headers = {"accept": "application/ld+json", "content-type": "application/x-json"}
    _, service = enrich(response({}), headers=headers, method="POST", path="/")
    assert service.requests[0].head.lower().count("accept:") == 1
    assert service.requests[0].headers["accept"] == "application/ld+json"
    assert service.requests[0].headers["content-type"] == "application/x-json"


@pytest.mark.parametrize(
    ("environ", "message"),
    [({}, "'Authorization'.*CRM_TOKEN is not set"), ({"CRM_TOKEN": "s3cret\nX: y"}, "'Authorization'.*cannot be sent")],
)
def test_the_error_for_an_invalid_header_does_not_show_its_value(environ: dict[str, str], message: str) -> None:
    spec = Spec(use="http", url="http://crm/", headers={"Authorization": "Bearer ${CRM_TOKEN}"})
    with pytest.raises(InvalidDefinition, match=message) as caught:
        build(spec, Path(), environ)
    assert "s3cret" not in str(caught.value)


def test_post_sends_the_payload() -> None:
    _, service = enrich(response({}), item(domain="acme.com", n=1), method="POST", path="/find")
    request = service.requests[0]
    assert request.line == "POST /find HTTP/1.1"
    assert request.headers["content-type"] == "application/json"
    assert orjson.loads(request.body) == {"domain": "acme.com", "n": 1}


def test_post_sends_the_selected_fields() -> None:
    _, service = enrich(
        response({}), item(a={"b": 1}), method="POST", path="/", body={"x": "a.b", "l": "label", "n": "none"}
    )
    assert orjson.loads(service.requests[0].body) == {"x": 1, "l": "sales", "n": None}


@pytest.mark.parametrize("status", [404, 410, 204])
def test_not_found_sets_fields_to_null_or_makes_the_item_dead(status: int) -> None:
    not_found = response(b"", status) if status != 204 else b"HTTP/1.1 204 No Content\r\n\r\n"
    assert enrich(not_found)[0] == [{}]
    assert enrich(not_found, fields={"name": "a.b"})[0] == [{"name": None}]
    (dead,) = enrich(not_found, not_found="dead")[0]
    assert isinstance(dead, Permanent)
    assert f"answered {status}" in str(dead)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, Permanent),
        (307, Permanent),
        (400, Permanent),
        (401, Permanent),
        (422, Permanent),
        (408, Transient),
        (425, Transient),
        (429, Throttled),
        (500, Transient),
        (502, Transient),
        (503, Transient),
    ],
)
def test_the_status_determines_the_kind_of_failure(status: int, kind: type[Exception]) -> None:
    (failure,) = enrich(response({"secret": "x"}, status, location="http://127.0.0.1:1/"))[0]
    assert type(failure) is kind
    assert f"answered {status}" in str(failure)
    assert "acme" not in str(failure)
    assert "127.0.0.1" in str(failure)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7.0), ("0", 0.0), ("1.5", 2.0), ("99999999999999999999", 86_400.0), ("1" * 400, 86_400.0)],
)
def test_retry_after_in_seconds_is_honored_up_to_a_day(status: int, value: str, seconds: float) -> None:
    (failure,) = enrich(response({}, status, retry_after=value))[0]
    assert isinstance(failure, Throttled)
    assert failure.retry_after == seconds


def test_retry_after_as_a_date_is_honored() -> None:
    at = datetime.now(UTC) + timedelta(hours=1)
    (failure,) = enrich(response({}, 503, retry_after=format_datetime(at, usegmt=True)))[0]
    assert isinstance(failure, Throttled)
    assert failure.retry_after is not None
    assert 3_000 < failure.retry_after <= 3_600
    (past,) = enrich(response({}, 429, retry_after="Wed, 21 Oct 2015 07:28:00 GMT"))[0]
    assert past.retry_after == 0.0


@pytest.mark.parametrize("value", ["soon", "-5", "", "Wed, 99 Oct 2015 07:28:00 GMT", "٣"])
def test_an_unreadable_retry_after_is_ignored(value: str) -> None:
    content = response({}, 429).replace(b"\r\n\r\n", b"\r\nretry-after: " + value.encode() + b"\r\n\r\n")
    (failure,) = enrich(content)[0]
    assert isinstance(failure, Throttled)
    assert failure.retry_after is None


@pytest.mark.parametrize("content", [b"<html>maintenance</html>", b"", b'{"a": ', b"\xff", b"NaN"])
def test_a_response_that_is_not_json_is_a_transient_failure(content: bytes) -> None:
    (failure,) = enrich(response(content))[0]
    assert isinstance(failure, Transient)
    assert "not JSON" in str(failure)


@pytest.mark.parametrize("content", [[1], "text", 5, None])
def test_a_response_that_is_not_an_object_needs_fields(content: object) -> None:
    (failure,) = enrich(response(content))[0]
    assert isinstance(failure, Permanent)
    assert "`fields`" in str(failure)


def test_a_response_at_the_limit_is_read_and_a_longer_one_is_a_permanent_failure() -> None:
    content = orjson.dumps({"a": "x" * 50})
    assert enrich(response(content), max_bytes=len(content))[0] == [{"a": "x" * 50}]
    (failure,) = enrich(response(content), max_bytes=len(content) - 1)[0]
    assert isinstance(failure, Permanent)
    assert "`max_bytes`" in str(failure)


def test_an_endless_response_is_cut_off_while_it_streams() -> None:
    written = 0

    async def endless(request: Request, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")
            written += 0x1000
            await writer.drain()

    (failure,) = enrich(endless, max_bytes=100_000)[0]
    assert isinstance(failure, Permanent)
    assert written >= 100_000


def test_an_unrequested_compressed_response_is_rejected() -> None:
    answers, service = enrich(response(b"\x1f\x8b", content_encoding="gzip"))
    assert isinstance(answers[0], Permanent)
    assert "compressed" in str(answers[0])
    assert service.requests[0].headers["accept-encoding"] == "identity"


async def _hang(request: Request, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def _drip(request: Request, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("slow", [_hang, _drip])
def test_a_response_that_takes_too_long_is_a_transient_failure(slow: Handler) -> None:
    (failure,) = enrich(slow, timeout_seconds=0.2)[0]
    assert isinstance(failure, Transient)
    assert "did not answer within 0.2 s" in str(failure)


def test_a_slow_response_does_not_delay_others() -> None:
    released = asyncio.Event()

    async def handle(request: Request, writer: asyncio.StreamWriter) -> None:
        if "slow" in request.line:
            await released.wait()
        writer.write(response({}))

    async def run() -> None:
        async with run_service(handle) as service:
            step = make_step(service)
            slow = asyncio.create_task(step.call(item(domain="slow")))
            assert await asyncio.gather(*(step.call(item(domain=f"n{n}")) for n in range(20))) == [{}] * 20
            assert not slow.done()
            released.set()
            assert await slow == {}
            await step.call.aclose()

    asyncio.run(run())


def test_a_cancelled_request_does_not_affect_the_next_one() -> None:
    hanging = True

    async def handle(request: Request, writer: asyncio.StreamWriter) -> None:
        if hanging:
            await asyncio.Event().wait()
        writer.write(response({"n": 2}))

    async def run() -> None:
        nonlocal hanging
        async with run_service(handle) as service:
            step = make_step(service, max_concurrency=1)
            first = asyncio.create_task(step.call(item(domain="a")))
            while not service.requests:
                await asyncio.sleep(0)
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
            assert first.cancelled()
            hanging = False
            assert await step.call(item(domain="b")) == {"n": 2}
            await step.call.aclose()

    asyncio.run(run())


@pytest.mark.parametrize(
    "content", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{", b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\nx"]
)
def test_a_broken_connection_is_a_transient_failure(content: bytes) -> None:
    async def handle(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(content)
        await writer.drain()
        writer.close()

    (failure,) = enrich(handle)[0]
    assert isinstance(failure, Transient)
    assert "the connection failed" in str(failure)


def test_a_refused_connection_is_a_transient_failure() -> None:
    async def run() -> Any:
        async with run_service(b"") as service:
            pass
        step = make_step(service)
        answers = await asyncio.gather(step.call(item(domain="acme.com")), return_exceptions=True)
        await step.call.aclose()
        return answers[0]

    failure = asyncio.run(run())
    assert isinstance(failure, Transient)
    assert "cannot be reached" in str(failure)
    assert "acme" not in str(failure)


def test_an_unknown_host_is_a_transient_failure() -> None:
    async def run() -> Any:
        step = build(Spec(use="http", url="http://nothing.invalid/{domain}"), Path())
        answers = await asyncio.gather(step.call(item(domain="acme.com")), return_exceptions=True)
        await step.call.aclose()
        return answers[0]

    failure = asyncio.run(run())
    assert isinstance(failure, Transient)
    assert "nothing.invalid cannot be reached" in str(failure)


def test_connections_are_reused_even_after_errors() -> None:
    responses = iter([response({"n": 1}), response({"e": 1}, 404), response({"e": 1}, 500), response({"n": 2})])

    async def handle(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(next(responses))

    answers, service = enrich(handle, *[item(domain="x")] * 4)
    assert [answers[0], answers[1], answers[3]] == [{"n": 1}, {}, {"n": 2}]
    assert service.connections == 1


def test_cookies_are_not_carried_to_the_next_item() -> None:
    _, service = enrich(response({}, set_cookie="session=1; Path=/"), item(domain="a"), item(domain="b"))
    assert ["cookie" in request.headers for request in service.requests] == [False, False]


def test_a_step_works_on_one_loop_after_another() -> None:
    steps: list[Step] = []

    async def run(port: int) -> int:
        async with run_service(response({"ok": 1}, connection="close"), port) as service:
            steps.append(make_step(service))
            assert await steps[0].call(item(domain="x")) == {"ok": 1}
            return service.port

    port = asyncio.run(run(0))
    asyncio.run(run(port))


def test_proxies_in_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert enrich(response({"ok": 1}))[0] == [{"ok": 1}]


def test_no_data_of_an_item_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    enrich(response({"ok": 1}), item(domain="private-value"), headers={"X-Key": "s3cret"})
    assert "private-value" not in caplog.text
    assert "s3cret" not in caplog.text


def test_the_step_is_async_with_one_item_per_call_and_bounded_concurrency() -> None:
    step = build(Spec(use="http", url="http://crm/", name="crm", max_concurrency=5, timeout_seconds=3), Path())
    assert (step.name, step.mode, step.is_batched) == ("crm", Mode.ASYNC, False)
    assert (step.max_concurrency, step.timeout_seconds) == (5, 3)


def test_no_file_is_pinned() -> None:
    assert files(Spec(use="http", url="http://crm/")) == ()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": "crm/{domain}"}, "must begin like"),
        ({"url": "ftp://crm/"}, "must begin like"),
        ({"url": "https://{host}/x"}, "must begin like"),
        ({"url": "https://crm.{tenant}/x"}, "between its host and its first field"),
        ({"url": "https://crm{path}"}, "between its host and its first field"),
        ({"url": "https://user:s3cret@crm/"}, "credentials"),
        ({"url": "https://crm/{"}, "unpaired brace"),
        ({"url": "https://crm/{}"}, "empty part"),
        ({"url": "https://crm/{a!r}"}, "'!' or ':'"),
        ({"url": "https://crm/{a:>5}"}, "'!' or ':'"),
        ({"method": "DELETE"}, "'GET' or 'POST'"),
        ({"body": {"a": "b"}}, 'only be sent with method = "POST"'),
        ({"fields": {"a": "b[c]"}}, "brackets"),
        ({"fields": {"a": ""}}, "empty part"),
        ({"headers": {"Host": "x"}}, "'Host' cannot be set"),
        ({"headers": {"X Y": "x"}}, "'X Y' cannot be set"),
        ({"max_bytes": 0}, "max_bytes"),
        ({"proxy": "x"}, "proxy"),
    ],
)
def test_an_invalid_option_is_rejected(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message) as caught:
        Spec.model_validate({"use": "http", "url": "https://crm/{domain}", **options})
    assert "s3cret" not in str(caught.value)
