"""The HTTP enricher with a slow or unreachable service, and the reuse of its connections."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import Transient
from pipeline.stages.catalog.step import Step
from pipeline.stages.enrichers.http import Spec, build
from tests.support.http_service import Handler, Request, enrich, item, make_step, response, run_service


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
