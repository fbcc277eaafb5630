"""The end of a loop whose coroutines ignore their cancellation."""

from __future__ import annotations

import asyncio
import gc
import logging

import pytest

from pipeline.stages.run.async_loop import loop_thread


def test_a_coroutine_that_ignores_its_cancellation_leaves_no_message(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop_thread, "GRACE_SECONDS", 0.01)

    async def stubborn() -> None:
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                continue

    loop = asyncio.new_event_loop()
    task = loop.create_task(stubborn())
    loop.run_until_complete(asyncio.sleep(0))
    with caplog.at_level(logging.DEBUG, logger="asyncio"):
        loop_thread._close_loop(loop)
        assert not task.done()
        del task
        gc.collect()
    # Not the messages of other loops that are collected here.
    assert [record.getMessage() for record in caplog.records if stubborn.__name__ in record.getMessage()] == []
