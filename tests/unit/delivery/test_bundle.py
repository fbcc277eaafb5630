"""What travels together: pure rules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import orjson
from hypothesis import given
from hypothesis import strategies as st

from pipeline.delivery.rules.bundle import MOST_BYTES, BundleSettings, Due, body, gather, lead

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
AN_HOUR_AGO = NOW - timedelta(hours=1)
COMPANY = BundleSettings(items=3, wait=timedelta(seconds=1))


def due(
    id_: int,
    url: str = "https://a/",
    *,
    at: datetime = NOW,
    bundle_id: int | None = None,
    joins: bool = True,
    size: int = 10,
) -> Due:
    return Due(id_, url, at, bundle_id, joins and bundle_id is None, size)


def ids(groups: list[tuple[Due, ...]]) -> list[list[int]]:
    return [[each.id for each in group] for group in groups]


def test_a_full_bundle_travels_at_once_and_the_rest_waits_for_company() -> None:
    requests = gather([due(number) for number in range(1, 8)], COMPANY, NOW, 9)
    assert ids(requests.together) == [[1, 2, 3], [4, 5, 6]]
    assert requests.next_at == NOW + COMPANY.wait


def test_what_has_waited_long_enough_travels_in_smaller_company() -> None:
    requests = gather([due(1, at=AN_HOUR_AGO), due(2)], COMPANY, NOW, 9)
    assert ids(requests.together) == [[1, 2]]
    assert requests.next_at is None


def test_items_of_different_urls_never_travel_together() -> None:
    requests = gather([due(number, f"https://a/{number % 2}", at=AN_HOUR_AGO) for number in range(6)], COMPANY, NOW, 9)
    assert ids(requests.together) == [[0, 2, 4], [1, 3, 5]]


def test_events_of_batches_and_retries_travel_alone_and_bundles_as_they_are() -> None:
    given = [due(1, joins=False), due(2, bundle_id=7), due(3, bundle_id=7), due(4, at=AN_HOUR_AGO)]
    requests = gather(given, COMPANY, NOW, 9)
    assert (requests.alone, requests.bundles, ids(requests.together)) == ([1], [7], [[4]])


def test_a_body_is_bounded_and_an_item_that_is_larger_travels_by_itself() -> None:
    sizes = [MOST_BYTES // 2, MOST_BYTES // 3, MOST_BYTES // 3, 2 * MOST_BYTES, 1]
    given = [due(number, at=AN_HOUR_AGO, size=size) for number, size in enumerate(sizes)]
    assert ids(gather(given, BundleSettings(100), NOW, 9).together) == [[0, 1], [2], [3], [4]]


def test_no_more_requests_are_made_than_there_is_room_for() -> None:
    given = [due(1, joins=False), *(due(number, f"https://a/{number}", at=AN_HOUR_AGO) for number in range(2, 9))]
    assert len(gather(given, COMPANY, NOW, 2)) == 2


def test_without_a_number_of_items_everything_travels_alone() -> None:
    assert gather([due(1), due(2)], BundleSettings.of(None, 50), NOW, 9).alone == [1, 2]


def test_the_first_of_a_lane_takes_along_what_follows_it_directly() -> None:
    assert ids(lead([due(1), due(2), due(3), due(4)], COMPANY, NOW).together) == [[1, 2, 3]]
    assert ids(lead([due(1), due(2, joins=False), due(3)], COMPANY, NOW).together) == [[1]]
    assert ids(lead([due(1), due(2, "https://a/other"), due(3)], COMPANY, NOW).together) == [[1]]
    assert ids(lead([due(1), due(2, bundle_id=7), due(3)], COMPANY, NOW).together) == [[1]]
    assert lead([due(1, bundle_id=7), due(2)], COMPANY, NOW).bundles == [7]
    assert lead([due(1, joins=False), due(2)], COMPANY, NOW).alone == [1]


def test_the_first_of_a_lane_waits_for_company_only_while_some_may_come() -> None:
    waiting = lead([due(1), due(2)], COMPANY, NOW)
    assert (len(waiting), waiting.next_at) == (0, NOW + COMPANY.wait)
    assert ids(lead([due(1, at=AN_HOUR_AGO), due(2)], COMPANY, NOW).together) == [[1, 2]]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, MOST_BYTES), st.booleans()), max_size=60))
def test_each_delivery_travels_once_in_order_and_within_the_bounds(drawn: list[tuple[str, int, bool]]) -> None:
    given = [due(number, f"https://{url}/", size=size, joins=joins) for number, (url, size, joins) in enumerate(drawn)]
    requests = gather(given, BundleSettings(items=5), NOW, 1_000)
    seen = [*requests.alone, *(each.id for group in requests.together for each in group)]
    assert sorted(seen) == list(range(len(given)))
    for group in requests.together:
        assert [each.id for each in group] == sorted(each.id for each in group)
        assert len({each.url for each in group}) == 1
        assert len(group) == 1 or (len(group) <= 5 and sum(each.size for each in group) <= MOST_BYTES)


def test_the_body_holds_each_items_data_byte_for_byte() -> None:
    data = ['{"n":1.0,"big":12345678901234567890123,"z":1,"a":2}', '{"text":"café ☕","data":{"data":[]}}']
    bodies = [f'{{"type":"item.completed","timestamp":"t","data":{each}}}'.encode() for each in data]
    whole = body(NOW, bodies)
    expected = f'{{"type":"items.completed","timestamp":"2026-11-21T12:00:00.000000Z","data":[{data[0]},{data[1]}]}}'
    assert whole == expected.encode()
    assert len(orjson.loads(whole)["data"]) == 2
