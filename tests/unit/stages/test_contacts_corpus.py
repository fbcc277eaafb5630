"""Precision and recall of the contacts enricher on texts as people write them; see `tests/data/contacts/README.md`."""

from __future__ import annotations

import zlib

import pytest

from tests.support.contacts_corpus import HALVES, KINDS, is_negative, measure, read

# A little below what was measured, so that a list of suffixes or of numbering plans may change.
MIN_PRECISION = {"phones": 0.94, "emails": 0.98, "domains": 0.97}
MIN_RECALL = {"phones": 0.97, "emails": 0.98, "domains": 0.98}


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("kind", KINDS)
def test_contacts_are_found_in_texts_as_people_write_them(half: str, kind: str) -> None:
    score = measure(half)[kind]
    assert score.precision >= MIN_PRECISION[kind]
    assert score.recall >= MIN_RECALL[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_there_are_enough_texts_of_each_kind(kind: str) -> None:
    rows = [row for half in HALVES for row in read(half)]
    assert sum(bool(row[kind]) for row in rows) >= 300
    assert sum(is_negative(row, kind) for row in rows) >= 300


def test_no_text_is_in_both_halves() -> None:
    for parity, half in enumerate(HALVES):
        assert {zlib.crc32(row["text"].encode()) & 1 for row in read(half)} == {parity}
