"""Messages that differ only in what belongs to one item have one cause."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable

import pytest

from pipeline.domain.cause import find_cause


@pytest.mark.parametrize(
    ("message", "common"),
    [
        ("503 from https://crm.internal/companies/acme?id=7", "<n> from url:crm.internal"),
        ("GET http://user:pw@crm.internal:8080/a/b failed", "GET url:crm.internal failed"),
        ("crm: api.example.com answered 404", "crm: api.example.com answered 404"),
        ("crm: api.example.com answered 503", "crm: api.example.com answered 503"),
        (
            "api.example.com answered 262 bytes that are not JSON",
            "api.example.com answered <n> bytes that are not JSON",
        ),
        ("HTTP 404 for row 404", "HTTP 404 for row <n>"),
        ("status=500 code: 429 status 12345", "status=500 code: 429 status <n>"),
        ("company 'acme' is unknown", "company <q> is unknown"),
        ('company "Bob\'s" is unknown', "company <q> is unknown"),
        ("it isn't there, and won't be", "it isn't there, and won't be"),
        ("row 3f2a9c1d7b of 12 has 1,234.5 too many", "row <hex> of <n> has <n> too many"),
        ("job 5b1f0c3e-8d2a-4c77-9f10-aa00bb11cc22 at 0xDEAD failed", "job <uuid> at <hex> failed"),
        ("mail to anna.b+x@example.org bounced at 2026-11-30T12:00:01.5Z", "mail to <email> bounced at <time>"),
        ("connect to 10.0.0.17:5432 and [::1]:80 failed", "connect to <ip> and <ip> failed"),
        ("ticket T-0001 and order_77 are gone", "ticket <id> and <id> are gone"),
        ("cannot read /var/lib/models/v3/3f2a9c1d7b/a.bin", "cannot read <path>"),
        ("took longer than 30 s", "took longer than <n> s"),
        ("a faded decade", "a faded decade"),
        ("two\n  lines", "two lines"),
        ("", ""),
        ("x" * 300, "x" * 200),
    ],
)
def test_what_differs_from_item_to_item_is_replaced(message: str, common: str) -> None:
    assert find_cause("enrich", "transient", "HTTPError", message).message == common


def test_the_id_tells_stage_kind_type_and_message_apart_and_nothing_else() -> None:
    same = {find_cause("enrich", "transient", "HTTPError", f"{row} from http://a/{row}").id for row in range(9)}
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


#: Messages as services, drivers and models write them, each with what differs from item to item, by cause.
MESSAGES: dict[str, Callable[[int], str]] = {
    "token": lambda n: "crm: crm.internal answered 401",
    "forbidden": lambda n: "crm: crm.internal answered 403",
    "down": lambda n: "crm: crm.internal answered 503",
    "other host": lambda n: "geo: geo.internal answered 503",
    "refused": lambda n: f"crm: crm.internal cannot be reached: [Errno 111] connect to 10.0.{n % 7}.{n % 251}:8443",
    "unknown": lambda n: f"company 'acme {n}' of ticket T-{n:05} is unknown",
    "no json": lambda n: f"crm: crm.internal answered {n + 1} bytes that are not JSON",
    "not found": lambda n: (
        f"GET https://files.example.com/b/{n:x}/doc-{n}.pdf?v={n} gave HTTP 404 at 2026-11-30T12:{n % 60:02}:07Z"
    ),
    "gone": lambda n: (
        f"GET https://files.example.com/b/{n:x}/doc-{n}.pdf?v={n} gave HTTP 410 at 2026-11-30T12:{n % 60:02}:07Z"
    ),
    "path": lambda n: f"cannot open /srv/models/v{n % 5}/part-{n}.bin: no such file",
    "mail": lambda n: f"user{n}@example.org has no account (request 5b1f0c3e-8d2a-4c77-9f10-{n:012x})",
    "tokens": lambda n: f"input of {1_000 + n:,} tokens exceeds the limit of 8,192 (request req_{n:08x})",
}


def test_1000_mixed_errors_give_their_causes_and_no_group_is_mixed() -> None:
    # As in an outage: some causes make up most failures.
    weights = [300, 40, 160, 60, 120, 90, 50, 60, 40, 40, 30, 10]
    groups: dict[str, Counter[str]] = defaultdict(Counter)
    numbers = iter(range(1, 10_000, 7))
    for (name, write), weight in zip(MESSAGES.items(), weights, strict=True):
        for _ in range(weight):
            groups[find_cause("enrich", "permanent", "Permanent", write(next(numbers))).id][name] += 1
    assert all(len(names) == 1 for names in groups.values())
    largest = sorted((names.total() for names in groups.values()), reverse=True)
    assert sum(largest) == 1_000
    assert sum(largest[:10]) >= 950
    assert len(groups) == len(MESSAGES)
