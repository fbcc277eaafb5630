"""Cases of Kafka alone: a mock cluster, a broker that falls silent and comes back, and options of the client."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

from confluent_kafka import Producer

from pipeline.connections.connections_file import read_connections
from pipeline.connections.destinations import Destinations
from tests.integration.delivery.targets.contract import Targets, destinations, event, in_loop, owed
from tests.integration.delivery.targets.servers import KafkaTarget
from tests.support.servers.server import free_port
from tests.support.servers.tansu import Kafka


def at(folder: Path, hosts: str, *lines: str) -> Destinations:
    path = folder / "connections.toml"
    path.write_text("\n".join(["[bus]", f'url = "kafka://{hosts}"', *lines]), encoding="utf-8")
    return Destinations(connections=read_connections(path))


@in_loop
async def test_a_cluster_of_three_brokers_takes_each_message_once(tmp_path: Path) -> None:
    # It lives as long as this producer.
    cluster = Producer({"test.mock.num.brokers": 3})
    brokers = await asyncio.to_thread(lambda: cluster.list_topics(timeout=10).brokers.values())
    where = at(tmp_path, ",".join(f"{each.host}:{each.port}" for each in brokers))
    async with Targets(where) as post:
        posts = [post(owed("conn://bus/tests?key=batch", seq, body=event(seq))) for seq in range(1, 301)]
        answers = await asyncio.gather(*posts)
    assert {answer.status for answer in answers} == {202}
    words = Counter(answer.text for answer in answers)
    # One batch has one key: one partition, and an offset for each.
    assert len(words) == 300
    assert len({(word or "").partition(" offset")[0] for word in words}) == 1


@in_loop
async def test_while_no_broker_can_be_reached_messages_fail_and_are_not_sent_later(tmp_path: Path) -> None:
    async with Targets(at(tmp_path, f"127.0.0.1:{free_port()}"), deadline=4) as post:
        answer = await post(owed("conn://bus/tests"))
    assert answer.code == "unavailable"


@in_loop
async def test_what_a_silent_broker_did_not_report_is_sent_again(kafka: Kafka, tmp_path: Path) -> None:
    target = KafkaTarget(kafka)
    await target.prepare()
    async with Targets(destinations(tmp_path, target), deadline=4) as post:
        url = f"conn://bus/{target.topic}"
        assert (await post(owed(url))).is_success
        kafka.suspend()
        try:
            late = await asyncio.gather(*(post(owed(url, seq)) for seq in (2, 3)))
        finally:
            kafka.resume()
        assert {answer.code for answer in late} <= {"timeout", "unavailable"}
        async with asyncio.timeout(60):
            # An idempotent producer that lost messages begins anew, which takes a moment.
            for seq in (2, 3):
                while not (await post(owed(url, seq, attempt=2))).is_success:
                    pass
    ids = {taken.headers["webhook-id"] for taken in await target.taken()}
    assert len(ids) == 3


@in_loop
async def test_an_option_that_the_client_refuses_is_told_without_its_value(tmp_path: Path) -> None:
    lines = ('username = "u"', 'password = "hunter2"', 'sasl_mechanism = "NONE-SUCH"')
    async with Targets(at(tmp_path, "127.0.0.1:1", *lines)) as post:
        answer = await post(owed("conn://bus/tests"))
    assert answer.code == "connection_missing"
    assert "hunter2" not in repr(answer)
