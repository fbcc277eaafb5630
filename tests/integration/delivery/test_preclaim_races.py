"""Preclaimed deliveries while something changes, or is lost, between the check and the end of the transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from pipeline.database.engine import Database
from pipeline.delivery import endpoints
from pipeline.errors import Unreachable
from tests.support.receivers.configured import finish_items
from tests.support.receivers.owed import Sending, context_of, deliveries, states, wait_until
from tests.support.receivers.preclaiming import ready, room
from tests.support.receivers.scripted import Scripted, answer, in_turn
from tests.support.servers.fixtures import on_postgresql


def test_a_commit_whose_answer_is_lost_sends_soon_and_counts_no_attempt(database: Database) -> None:
    with Scripted(answer()) as receiver, Sending(database) as sender:
        ready(sender, receiver)
        write, tries = database._backend.write, iter(range(2))

        @contextmanager
        def unheard() -> Iterator[Any]:
            with write() as connection:
                yield connection
            # That of the commit, and then that of the first try to hand back.
            if next(tries, None) is not None:
                raise Unreachable("the connection was lost in the commit")

        vars(database._backend)["write"] = unheard
        with pytest.raises(Unreachable):
            finish_items(database, sender, [receiver.url] * 30)
        wait_until(lambda: states(database) == ["delivered"] * 30)
        wait_until(lambda: room(sender) == 256)
    assert [request.headers["webhook-attempt"] for request in receiver.requests] == ["1"] * 30


def test_what_was_unheard_and_rolled_back_hands_back_nothing_else(database: Database) -> None:
    with Scripted(answer()) as receiver, Sending(database) as sender:
        receiver.answering = receiver.silence
        ready(sender, receiver)
        finish_items(database, sender, [receiver.url] * 3)
        receiver.wait_for(lambda seen: len(seen.requests) == 3)
        loop = sender._loop
        assert loop is not None
        # SQLite gives the ids of what was rolled back to others.
        loop.release_unheard([row["id"] for row in deliveries(database)], datetime.now(UTC))
        wait_until(lambda: not loop._unheard)
        assert states(database) == ["sending"] * 3


@on_postgresql  # SQLite has one writer at a time
@pytest.mark.parametrize(
    ("change", "after"),
    [
        (lambda context, url: endpoints.disable(context, url), "paused"),
        (lambda context, url: endpoints.configure(context, url, ordering="endpoint"), "delivered"),
        (lambda context, url: endpoints.configure(context, url, coalesce_items=5), "delivered"),
        (lambda context, url: endpoints.configure(context, url, rate=1_000.0), "delivered"),
    ],
    ids=["disabled", "ordered", "bundled", "rate"],
)
def test_a_change_between_the_check_and_the_commit_holds_from_the_next_attempt_on(
    database: Database, change: Callable[..., object], after: str
) -> None:
    context = context_of(database)
    with Scripted(in_turn(answer(500), answer(200))) as receiver, Sending(database) as sender:
        ready(sender, receiver)
        reserve = sender.slots.reserve

        def change_first(*given: Any) -> Any:
            change(context, receiver.url)
            return reserve(*given)

        sender.slots.reserve = change_first  # type: ignore[method-assign]
        finish_items(database, sender, [receiver.url])
        wait_until(lambda: states(database) == [after])
        assert len(receiver.requests) == (1 if after == "paused" else 2)
        if after == "paused":
            assert endpoints.enable(context, receiver.url) == 1
            sender.wake()
            wait_until(lambda: states(database) == ["delivered"])
    assert [request.headers["webhook-attempt"] for request in receiver.requests] == ["1", "2"]
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1
