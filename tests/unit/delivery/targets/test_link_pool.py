"""Links to targets: opened once, shared, replaced when they are lost or late, closed when nobody uses them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

import pytest

from pipeline.delivery.rules.message import TargetMessage
from pipeline.delivery.targets.link import TargetLink
from pipeline.delivery.targets.link_pool import LinkPool
from pipeline.delivery.webhook.errors import ConnectTimeout
from pipeline.domain.urls.route import Route

FAR = 60.0


class Line:
    """A link that answers when it is told to."""

    def __init__(self) -> None:
        self.is_open = True
        self.closed = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def send(self, message: TargetMessage, route: Route) -> str:
        await self.may_answer.wait()
        return "stored"

    async def close(self) -> None:
        self.is_open = False
        self.closed.set()


class Lines:
    def __init__(self) -> None:
        self.opened: list[Line] = []

    async def open(self) -> TargetLink:
        await asyncio.sleep(0)
        self.opened.append(Line())
        return self.opened[-1]


async def send(link: TargetLink) -> str:
    return await link.send(cast("TargetMessage", None), cast("Route", None))


def in_pool(test: Callable[[LinkPool, Lines], Awaitable[None]], **options: float) -> None:
    async def run() -> None:
        pool = LinkPool(options.pop("connect", FAR), **options)
        await test(pool, Lines())
        await pool.close()

    asyncio.run(run())


def test_messages_at_once_share_one_link() -> None:
    async def scenario(pool: LinkPool, lines: Lines) -> None:
        words = await asyncio.gather(*(pool.use("a", lines.open, send, FAR) for _ in range(50)))
        assert set(words) == {"stored"}
        await pool.use("b", lines.open, send, FAR)
        assert len(lines.opened) == 2
        await pool.close()
        assert all(line.closed.is_set() for line in lines.opened)

    in_pool(scenario)


def test_a_link_that_is_lost_is_opened_again() -> None:
    async def scenario(pool: LinkPool, lines: Lines) -> None:
        await pool.use("a", lines.open, send, FAR)
        lines.opened[0].is_open = False
        await pool.use("a", lines.open, send, FAR)
        assert len(lines.opened) == 2

    in_pool(scenario)


def test_a_late_message_gives_others_a_new_link_and_cuts_nobody_off() -> None:
    async def scenario(pool: LinkPool, lines: Lines) -> None:
        await pool.use("a", lines.open, send, FAR)
        lines.opened[0].may_answer.clear()
        patient = asyncio.create_task(pool.use("a", lines.open, send, FAR))
        with pytest.raises(TimeoutError):
            await pool.use("a", lines.open, send, 0.01)
        assert await pool.use("a", lines.open, send, FAR) == "stored"
        assert len(lines.opened) == 2
        assert not lines.opened[0].closed.is_set()
        lines.opened[0].may_answer.set()
        assert await patient == "stored"
        await lines.opened[0].closed.wait()

    in_pool(scenario)


def test_a_link_that_does_not_open_in_time_fails_all_that_wait() -> None:
    async def scenario(pool: LinkPool, lines: Lines) -> None:
        async def never() -> TargetLink:
            await asyncio.Event().wait()
            raise AssertionError

        failures = await asyncio.gather(*(pool.use("a", never, send, FAR) for _ in range(3)), return_exceptions=True)
        assert [type(failure) for failure in failures] == [ConnectTimeout] * 3
        assert await pool.use("a", lines.open, send, FAR) == "stored"

    in_pool(scenario, connect=0.01)


def test_a_link_without_messages_is_closed() -> None:
    async def scenario(pool: LinkPool, lines: Lines) -> None:
        await pool.use("a", lines.open, send, FAR)
        await lines.opened[0].closed.wait()
        assert len(pool) == 0

    in_pool(scenario, idle_seconds=0.01)
