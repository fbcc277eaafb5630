"""The data of the examples is what the examples and their readers take it for."""

from __future__ import annotations

import csv
import tomllib
from collections import Counter
from typing import Any

import orjson
import pytest
import re2
from rapidfuzz import fuzz, process, utils

from pipeline.domain.item import Classification, WorkItem
from pipeline.stages.classifiers import keywords
from tests.support.paths import ROOT

EXAMPLES = ROOT / "examples"
TICKETS = EXAMPLES / "support-tickets"
LABELS = {"billing", "shipping", "returns", "account", "technical", "sales", "feedback", "other"}
CHANNELS = {"email", "chat", "web", "phone"}
TIERS = {"free", "bronze", "silver", "gold"}

#: A host after `@` or `//`.
HOST = re2.compile(r"(?:@|//)([\w-]+(?:\.[\w-]+)+)")
#: RFC 2606 keeps these for examples: nobody gets mail because of a demo.
RESERVED = ("example.com", "example.org", "example.net")


@pytest.fixture(scope="module")
def tickets() -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in (TICKETS / "tickets.jsonl").read_bytes().splitlines()]


@pytest.fixture(scope="module")
def customers() -> list[dict[str, str]]:
    with open(TICKETS / "customers.csv", encoding="utf-8", newline="") as rows:
        return list(csv.DictReader(rows, strict=True))


@pytest.fixture(scope="module")
def definition() -> dict[str, Any]:
    return tomllib.loads((TICKETS / "definition.toml").read_text(encoding="utf-8"))


def test_there_are_enough_tickets_to_watch_them_go_by(tickets: list[dict[str, Any]]) -> None:
    assert len(tickets) >= 220


def test_every_ticket_has_the_same_fields_filled_with_text(tickets: list[dict[str, Any]]) -> None:
    for ticket in tickets:
        assert list(ticket) == ["ticket_id", "subject", "body", "customer", "channel", "expected"]
        assert all(isinstance(value, str) and value.strip() for value in ticket.values()), ticket["ticket_id"]


@pytest.mark.parametrize("field", ["ticket_id", "body"])
def test_no_ticket_repeats_another(tickets: list[dict[str, Any]], field: str) -> None:
    counts = Counter(ticket[field].casefold() for ticket in tickets)
    assert [value for value, count in counts.items() if count > 1] == []


def test_no_two_tickets_are_variations_of_one_text(tickets: list[dict[str, Any]]) -> None:
    bodies = [ticket["body"] for ticket in tickets]
    scores = process.cdist(bodies, bodies, scorer=fuzz.ratio, score_cutoff=80, processor=utils.default_process)
    alike = [
        (tickets[a]["ticket_id"], tickets[b]["ticket_id"]) for a, b in zip(*scores.nonzero(), strict=True) if a < b
    ]
    assert alike == []


def test_labels_and_channels_are_the_known_ones_and_all_occur(tickets: list[dict[str, Any]]) -> None:
    counts = Counter(ticket["expected"] for ticket in tickets)
    assert set(counts) == LABELS
    assert min(counts.values()) >= 10
    assert {ticket["channel"] for ticket in tickets} == CHANNELS


def test_addresses_are_on_reserved_domains(tickets: list[dict[str, Any]]) -> None:
    hosts = {host.lower().rstrip(".") for ticket in tickets for host in HOST.findall(ticket["body"])}
    assert hosts
    assert [host for host in hosts if not any(f".{host}".endswith(f".{domain}") for domain in RESERVED)] == []


def test_customers_are_complete_and_named_once(customers: list[dict[str, str]]) -> None:
    assert len(customers) >= 40
    assert len({customer["name"].casefold() for customer in customers}) == len(customers)
    for customer in customers:
        assert list(customer) == ["name", "tier", "country", "account_manager"]
        assert customer["tier"] in TIERS
        assert len(customer["country"]) == 2
        assert customer["country"].isupper()


def test_most_tickets_name_a_customer_though_often_not_as_the_table_spells_it(
    tickets: list[dict[str, Any]], customers: list[dict[str, str]]
) -> None:
    names = [customer["name"] for customer in customers]
    written = [ticket["customer"] for ticket in tickets]
    near = [process.extractOne(name, names, scorer=fuzz.WRatio, processor=utils.default_process) for name in written]
    assert sum(match[1] >= 80 for match in near) / len(written) >= 0.95
    assert sum(name in names for name in written) / len(written) <= 0.5
    assert {match[0] for match in near if match[1] >= 80} == set(names)


def test_the_lookup_reads_columns_that_exist(definition: dict[str, Any], customers: list[dict[str, str]]) -> None:
    lookup = next(enricher for enricher in definition["enrich"] if enricher["use"] == "lookup")
    assert (TICKETS / lookup["table"]).is_file()
    assert {lookup["key"], *lookup["fields"]} <= set(customers[0])


def test_the_rules_answer_the_eight_labels(definition: dict[str, Any]) -> None:
    assert set(keywords.all_labels(keywords.Spec(**definition["classify"]))) == LABELS


def test_the_rules_agree_with_people_on_nine_tickets_in_ten(
    definition: dict[str, Any], tickets: list[dict[str, Any]]
) -> None:
    step = keywords.build(keywords.Spec(**definition["classify"]), TICKETS)
    answers = step.call([work_item(number, ticket) for number, ticket in enumerate(tickets, 1)])
    wrong = [ticket["ticket_id"] for ticket, answer in zip(tickets, answers, strict=True) if not says(answer, ticket)]
    assert len(wrong) / len(tickets) <= 0.1, wrong


def test_the_leads_of_the_callables_are_valid_and_have_keys() -> None:
    leads = [orjson.loads(line) for line in (EXAMPLES / "callables" / "items.jsonl").read_bytes().splitlines()]
    assert len({lead["lead_id"] for lead in leads}) == 5
    assert all(set(lead) == {"lead_id", "domain", "message"} for lead in leads)


def work_item(number: int, ticket: dict[str, Any]) -> WorkItem:
    return WorkItem(f"b-{number}", "b", ticket, ticket["body"], ticket["ticket_id"])


def says(answer: object, ticket: dict[str, Any]) -> bool:
    return isinstance(answer, Classification) and answer.label == ticket["expected"]
