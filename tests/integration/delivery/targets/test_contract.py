"""The contract of message targets, on each broker: what is accepted, what is refused and why, and what a cut loses."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from pipeline.crypto.verify_webhook import verify_webhook
from pipeline.delivery.rules.delivery import Answer
from tests.integration.delivery.targets.contract import (
    BATCH,
    Targets,
    TargetServer,
    destinations,
    event,
    in_loop,
    owed,
)
from tests.support.collection import INTEGRATION
from tests.support.cut_proxy import CutProxy
from tests.support.receivers.owed import SECRET
from tests.support.servers.server import free_port

pytestmark = pytest.mark.xdist_group(INTEGRATION)


def needs(target: TargetServer, case: str) -> None:
    if case not in target.has:
        pytest.skip(f"{target.scheme} has no such case")


def url_of(target: TargetServer, case: str = "plain") -> str:
    return f"conn://bus/{target.rest(case)}"


@in_loop
async def test_an_accepted_message_is_what_a_webhook_would_be(target: TargetServer, tmp_path: Path) -> None:
    async with Targets(destinations(tmp_path, target)) as post:
        answer = await post(owed(url_of(target), attempt=3))
    assert (answer.status, answer.code) == (202, None)
    assert answer.text
    (taken,) = await target.taken()
    assert taken.body == event()
    assert verify_webhook(taken.body, taken.headers, SECRET)["data"]["item_id"] == f"{BATCH}-1"
    assert taken.headers["webhook-attempt"] == "3"
    assert taken.headers["content-type"] == "application/json"
    attributes = {name: taken.headers[f"{target.event_prefix}{name}"] for name in ("id", "source", "type", "time")}
    assert attributes == {
        "id": f"msg_{BATCH}000000000001",
        "source": f"/pipeline/batches/{BATCH}",
        "type": "pipeline.item.completed",
        "time": "2026-11-21T10:15:02.250000Z",
    }
    assert taken.headers[f"{target.event_prefix}specversion"] == "1.0"


@in_loop
async def test_without_a_secret_a_message_is_not_signed(target: TargetServer, tmp_path: Path) -> None:
    async with Targets(destinations(tmp_path, target), is_signed=False) as post:
        assert (await post(owed(url_of(target)))).is_success
    (taken,) = await target.taken()
    assert "webhook-signature" not in taken.headers


@in_loop
async def test_many_at_once_share_a_link_and_each_arrives_once(target: TargetServer, tmp_path: Path) -> None:
    count = 75 if "slow" in target.has else 600
    async with Targets(destinations(tmp_path, target)) as post:
        answers = await asyncio.gather(
            *(post(owed(url_of(target), seq, body=event(seq))) for seq in range(1, count + 1))
        )
    assert {answer.status for answer in answers} == {202}
    ids = Counter(taken.headers["webhook-id"] for taken in await target.taken())
    assert len(ids) == count
    assert set(ids.values()) == {1}


@in_loop
async def test_a_second_attempt_has_the_same_id_and_a_replay_arrives(target: TargetServer, tmp_path: Path) -> None:
    async with Targets(destinations(tmp_path, target)) as post:
        answers = [
            await post(owed(url_of(target))),
            await post(owed(url_of(target), attempt=2)),
            await post(owed(url_of(target), attempt=3, replays=1)),
        ]
    assert {answer.status for answer in answers} == {202}
    taken = await target.taken()
    # A broker that tells duplicates drops the second attempt, and not what a person asked for.
    assert len(taken) == (2 if "deduplicates" in target.has else 3)
    assert {each.headers["webhook-id"] for each in taken} == {f"msg_{BATCH}000000000001"}


@in_loop
async def test_what_is_missing_is_named_and_holds_up_nobody(target: TargetServer, tmp_path: Path) -> None:
    needs(target, "missing")
    async with Targets(destinations(tmp_path, target)) as post:
        posts = [post(owed(url_of(target, case), seq)) for seq in range(1, 21) for case in ("plain", "missing")]
        answers = await asyncio.gather(*posts)
    assert [answer.code for answer in answers] == [None, "target_missing"] * 20
    assert len(await target.taken()) == 20


@in_loop
async def test_what_no_queue_is_bound_for_is_unroutable(target: TargetServer, tmp_path: Path) -> None:
    needs(target, "unroutable")
    async with Targets(destinations(tmp_path, target)) as post:
        answers = await asyncio.gather(post(owed(url_of(target, "unroutable"))), post(owed(url_of(target), 2)))
    assert [answer.code for answer in answers] == ["unroutable", None]


@in_loop
async def test_a_refusal_is_told_in_the_words_of_the_broker(target: TargetServer, tmp_path: Path) -> None:
    needs(target, "refusing")
    refuse = getattr(target, "refuse", None)
    async with Targets(destinations(tmp_path, target)) as post:
        if refuse is not None:
            await refuse(True)
        refused = await post(owed(url_of(target, "refusing")))
        if refuse is not None:
            await refuse(False)
        taken = await post(owed(url_of(target), 2))
    assert (refused.code, taken.code) == ("refused", None)
    assert refused.text


@in_loop
async def test_a_message_that_is_too_large_is_told_before_it_is_sent(target: TargetServer, tmp_path: Path) -> None:
    needs(target, "too_large")
    large = event(1, padding=2 * 2**20)
    async with Targets(destinations(tmp_path, target)) as post:
        posts = [post(owed(url_of(target), 2)), post(owed(url_of(target), body=large)), post(owed(url_of(target), 3))]
        answers = await asyncio.gather(*posts)
    assert [answer.code for answer in answers] == [None, "too_large", None]


@in_loop
async def test_where_nothing_listens_the_connection_is_refused(target: TargetServer, tmp_path: Path) -> None:
    needs(target, "auth")
    async with Targets(destinations(tmp_path, target, free_port())) as post:
        assert (await post(owed(url_of(target)))).code == "connection_refused"


@in_loop
async def test_a_silent_peer_is_cut_off_and_delays_nobody_else(target: TargetServer, tmp_path: Path) -> None:
    needs(target, "proxy")
    other = tmp_path / "other"
    other.mkdir()
    async with CutProxy(target.port) as proxy:
        silent = destinations(tmp_path, target, proxy.port)
        deadline = 4 if "slow" in target.has else 1.5
        async with Targets(silent, deadline=deadline) as post, Targets(destinations(other, target)) as post_there:
            assert (await post(owed(url_of(target)))).is_success
            proxy.silence()
            late = [post(owed(url_of(target), seq)) for seq in range(2, 12)]
            # While those wait.
            assert (await post_there(owed(url_of(target), 12))).is_success
            assert not any(each.done() for each in late)
            assert {each.code for each in await asyncio.gather(*late)} == {"timeout"}
            proxy.heal()
            # By a link of its own: the old one may have fallen silent for ever.
            assert (await post(owed(url_of(target), 13))).is_success


@in_loop
async def test_after_a_cut_before_the_answer_the_message_is_sent_again(target: TargetServer, tmp_path: Path) -> None:
    needs(target, "proxy")
    async with CutProxy(target.port) as proxy, Targets(destinations(tmp_path, target, proxy.port), deadline=5) as post:
        assert (await post(owed(url_of(target)))).is_success
        proxy.drop_answers()
        before = proxy.sent
        unknown = [post(owed(url_of(target), seq)) for seq in (2, 3)]
        async with asyncio.timeout(10):
            while proxy.sent < before + 2 * len(event()):
                await asyncio.sleep(0.01)
        proxy.cut()
        answers = await asyncio.gather(*unknown)
        assert {answer.code for answer in answers} <= {"connection_reset", "timeout"}
        proxy.heal()
        again = [post(owed(url_of(target), seq, attempt=2)) for seq in (2, 3)]
        assert {answer.status for answer in await asyncio.gather(*again)} == {202}
    ids = {taken.headers["webhook-id"] for taken in await target.taken()}
    assert ids == {f"msg_{BATCH}{seq:012d}" for seq in (1, 2, 3)}


@in_loop
async def test_a_refused_password_is_told_and_never_shown(target: TargetServer, tmp_path: Path) -> None:
    needs(target, "auth")
    wrong = "hunter2%20&wrong"
    async with Targets(destinations(tmp_path, target, password=wrong)) as post:
        answer = await post(owed(url_of(target)))
    assert answer.code == "auth_refused"
    assert wrong not in repr(answer)
    # After a restart with the right one.
    async with Targets(destinations(tmp_path, target)) as post:
        assert (await post(owed(url_of(target)))).is_success


@in_loop
async def test_what_a_user_may_not_do_is_refused_and_holds_up_nobody(target: TargetServer, tmp_path: Path) -> None:
    needs(target, "forbidden")
    async with Targets(destinations(tmp_path, target)) as post:
        answers = await asyncio.gather(
            *(post(owed(url_of(target, case), seq)) for seq in range(1, 9) for case in ("plain", "forbidden"))
        )
    assert [answer.code for answer in answers] == [None, "auth_refused"] * 8


@in_loop
async def test_a_link_that_the_server_closed_is_opened_again(target: TargetServer, tmp_path: Path) -> None:
    needs(target, "proxy")
    async with CutProxy(target.port) as proxy, Targets(destinations(tmp_path, target, proxy.port)) as post:
        assert (await post(owed(url_of(target)))).is_success
        proxy.cut()
        # The end of the connection is noticed in the loop's next rounds.
        codes = [(await post(owed(url_of(target), seq))).code for seq in range(2, 5)]
        assert codes[-1] is None
        assert set(codes) <= {None, "connection_reset"}


@in_loop
async def test_a_url_that_leads_nowhere_is_not_sent(target: TargetServer, tmp_path: Path) -> None:
    async with Targets(destinations(tmp_path, target)) as post:
        codes = [(await post(owed(url))).code for url in ("conn://bus", "conn://bus/?x=1", "conn://other/new")]
    assert codes == ["config_error", "config_error", "connection_missing"]


@in_loop
async def test_a_variable_that_is_not_set_here_sends_nothing(target: TargetServer, tmp_path: Path) -> None:
    needs(target, "auth")
    async with Targets(destinations(tmp_path, target, password="${NOT_SET_ANYWHERE}")) as post:
        answer: Answer = await post(owed(url_of(target)))
    assert answer.code == "connection_missing"
    assert answer.text is not None
    assert "NOT_SET_ANYWHERE" in answer.text
