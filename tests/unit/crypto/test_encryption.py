"""What is stored encrypted, and what opens it."""

from __future__ import annotations

import base64

import pytest

from pipeline.crypto.encryption import CannotDecrypt, Encryption, InvalidEncryptionKey, new_encryption_key
from pipeline.errors import InvalidSettings
from pipeline.settings import load

OLD, NEW = "bmV3IGtleXMgYXJlIHJhbmRvbSwgdGhpcyBpcyBub3Q=", "dGhlIG5ld2VzdCBvZiB0d28sIGFuZCBzZWFscyBhbGw="
VALUE = {"authorization": "Bearer café ☕"}


def test_what_is_sealed_opens_again_and_shows_nothing() -> None:
    sealed = Encryption([NEW]).seal(VALUE)
    assert Encryption([NEW]).open(sealed) == VALUE
    assert "Bearer" not in sealed
    assert "Bearer" not in base64.urlsafe_b64decode(sealed).decode("latin-1")
    assert sealed != Encryption([NEW]).seal(VALUE)


def test_the_newest_key_seals_and_any_opens() -> None:
    sealed = Encryption([OLD]).seal(VALUE)
    both = Encryption([NEW, OLD])
    assert both.open(sealed) == VALUE
    assert Encryption([NEW]).open(both.seal(VALUE)) == VALUE


def test_without_its_key_nothing_opens_and_the_setting_is_named() -> None:
    sealed = Encryption([OLD]).seal(VALUE)
    for vault in (Encryption(), Encryption([NEW])):
        with pytest.raises(CannotDecrypt, match="PIPELINE_ENCRYPTION_KEY"):
            vault.open(sealed)
    with pytest.raises(CannotDecrypt, match="pipeline secret --encryption-key"):
        Encryption().seal(VALUE)


def test_what_was_changed_does_not_open() -> None:
    sealed = Encryption([NEW]).seal(VALUE)
    for position in (0, len(sealed) // 2, len(sealed) - 5):
        other = "A" if sealed[position] != "A" else "B"
        with pytest.raises(CannotDecrypt):
            Encryption([NEW]).open(sealed[:position] + other + sealed[position + 1 :])


@pytest.mark.parametrize("key", ["hunter2", "whsec_hunter2", NEW[:-2], "=" * 44, "ü" * 43 + "="])
def test_a_key_that_cannot_be_used_is_refused_and_never_shown(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidEncryptionKey, match="32 bytes") as caught:
        Encryption([key])
    assert key not in str(caught.value)
    monkeypatch.setenv("PIPELINE_ENCRYPTION_KEY", f"{OLD} {key}")
    with pytest.raises(InvalidSettings, match="PIPELINE_ENCRYPTION_KEY: .*32 bytes") as refused:
        load()
    assert key not in str(refused.value)
    assert OLD not in str(refused.value)


def test_several_keys_of_the_settings_are_used_newest_first_and_not_shown() -> None:
    settings = load(encryption_key=f"{NEW} {OLD}")
    assert settings.encryption_keys == (NEW, OLD)
    assert NEW not in repr(settings)
    assert OLD not in str(settings.model_dump())
    assert NEW not in repr(Encryption([NEW]))


def test_a_new_key_is_random_and_can_be_used() -> None:
    first, second = new_encryption_key(), new_encryption_key()
    assert first != second
    assert Encryption([first]).open(Encryption([first]).seal(VALUE)) == VALUE


def test_padding_and_alphabet_of_a_key_are_free() -> None:
    key = "-_" * 21 + "8="
    assert (
        Encryption([key.rstrip("=").replace("-", "+").replace("_", "/")]).open(Encryption([key]).seal(VALUE)) == VALUE
    )
