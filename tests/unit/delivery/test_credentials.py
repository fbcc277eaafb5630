"""What an endpoint has of its own: how secrets follow one another, and what opens where."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pipeline.crypto.encryption import CannotDecrypt, Encryption
from pipeline.crypto.secrets import Secret
from pipeline.delivery.rules.credentials import Sealed, rotated, seal_headers, seal_secrets

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
DAY = timedelta(days=1)
VAULT = Encryption(["dGhlIG5ld2VzdCBvZiB0d28sIGFuZCBzZWFscyBhbGw="])
HERE, THERE = "https://a.example:443", "https://b.example:443"


def test_the_newest_signs_for_good_and_the_one_before_it_for_the_grace() -> None:
    assert rotated("new", [Secret("old")], NOW, DAY) == (Secret("new"), Secret("old", NOW + DAY))


def test_without_grace_only_the_newest_signs() -> None:
    assert rotated("new", [Secret("old"), Secret("older", NOW + DAY)], NOW, timedelta(0)) == (Secret("new"),)


def test_a_longer_grace_prolongs_nothing_that_expires_already() -> None:
    before = [Secret("old"), Secret("older", NOW + DAY), Secret("oldest", NOW)]
    assert rotated("new", before, NOW, 7 * DAY) == (
        Secret("new"),
        Secret("old", NOW + 7 * DAY),
        Secret("older", NOW + DAY),
    )


def test_ten_older_ones_sign_at_the_most() -> None:
    secrets: tuple[Secret, ...] = (Secret("0"),)
    for number in range(1, 30):
        secrets = rotated(str(number), secrets, NOW, DAY)
    assert [secret.text for secret in secrets] == [str(number) for number in range(29, 18, -1)]


def test_a_secret_that_is_given_again_is_there_once() -> None:
    assert rotated("a", [Secret("a"), Secret("b", NOW + DAY)], NOW, DAY) == (Secret("a"), Secret("b", NOW + DAY))


def test_what_is_sealed_opens_in_its_own_row_only() -> None:
    secrets = (Secret("new"), Secret("old", NOW + DAY))
    sealed = Sealed(HERE, seal_secrets(VAULT, HERE, secrets), seal_headers(VAULT, HERE, {"x-token": "hunter2"}))
    assert sealed.open_secrets(VAULT) == secrets
    assert sealed.open_headers(VAULT) == {"x-token": "hunter2"}
    moved = Sealed(THERE, sealed.secrets, sealed.headers)
    for read in (moved.open_secrets, moved.open_headers, moved.open):
        with pytest.raises(CannotDecrypt, match="stored for https://a"):
            read(VAULT)


def test_what_there_is_nothing_of_is_not_sealed() -> None:
    assert seal_secrets(VAULT, HERE, ()) is None
    assert seal_headers(VAULT, HERE, {}) is None
    opened = Sealed(HERE).open(Encryption())
    assert (opened.signer, opened.headers) == (None, {})
