"""Messages that differ only in what belongs to one item have one cause."""

from __future__ import annotations

import pytest

from pipeline.domain.cause import find_cause


@pytest.mark.parametrize(
    ("message", "common"),
    [
        ("503 from https://crm.internal/companies/acme?id=7", "# from <url>"),
        ("company 'acme' is unknown", "company '…' is unknown"),
        ('company "Bob\'s" is unknown', "company '…' is unknown"),
        ("it isn't there, and won't be", "it isn't there, and won't be"),
        ("row 3f2a9c1d7b of 12 has 1,234.5 too many", "row # of # has # too many"),
        ("job 5b1f0c3e-8d2a-4c77-9f10-aa00bb11cc22 at 0xDEAD failed", "job # at # failed"),
        ("a faded decade", "a faded decade"),
        ("two\n  lines", "two lines"),
        ("", ""),
    ],
)
def test_what_differs_from_item_to_item_is_replaced(message: str, common: str) -> None:
    assert find_cause("enrich", "transient", "HTTPError", message).message == common


def test_the_id_tells_stage_kind_type_and_message_apart_and_nothing_else() -> None:
    same = {
        find_cause("enrich", "transient", "HTTPError", f"{status} from http://a/{status}").id for status in range(9)
    }
    assert len(same) == 1
    others = {
        find_cause("classify", "transient", "HTTPError", "1 from http://a/1").id,
        find_cause("enrich", "permanent", "HTTPError", "1 from http://a/1").id,
        find_cause("enrich", "transient", "Timeout", "1 from http://a/1").id,
        find_cause("enrich", "transient", "HTTPError", "1 of http://a/1").id,
        find_cause(None, None, None, None).id,
    }
    assert len(same | others) == 6
    assert all(len(each) == 12 and int(each, 16) >= 0 for each in same | others)


def test_a_long_message_takes_no_longer_than_its_beginning() -> None:
    assert find_cause("enrich", "x", "y", "a" * 1_000_000) == find_cause("enrich", "x", "y", "a" * 2_000)
