"""Encryption at rest: what is encrypted, and which keys decrypt it."""

from __future__ import annotations

import base64

import pytest

from pipeline.crypto.encryption import CannotDecrypt, Encryption, InvalidEncryptionKey, new_encryption_key
from pipeline.errors import InvalidSettings
from pipeline.settings import load

OLD, NEW = "bmV3IGtleXMgYXJlIHJhbmRvbSwgdGhpcyBpcyBub3Q=", "dGhlIG5ld2VzdCBvZiB0d28sIGFuZCBzZWFscyBhbGw="
VALUE = {"authorization": "Bearer café ☕"}


def test_an_encrypted_value_decrypts_and_shows_nothing() -> None:
    token = Encryption([NEW]).encrypt(VALUE)
    assert Encryption([NEW]).decrypt(token) == VALUE
    assert "Bearer" not in token
    assert "Bearer" not in base64.urlsafe_b64decode(token).decode("latin-1")
    assert token != Encryption([NEW]).encrypt(VALUE)


def test_the_newest_key_encrypts_and_any_key_decrypts() -> None:
    token = Encryption([OLD]).encrypt(VALUE)
    both = Encryption([NEW, OLD])
    assert both.decrypt(token) == VALUE
    assert Encryption([NEW]).decrypt(both.encrypt(VALUE)) == VALUE


def test_a_missing_key_is_an_error_that_names_the_setting() -> None:
    token = Encryption([OLD]).encrypt(VALUE)
    for encryption in (Encryption(), Encryption([NEW])):
        with pytest.raises(CannotDecrypt, match="PIPELINE_ENCRYPTION_KEY"):
            encryption.decrypt(token)
    with pytest.raises(CannotDecrypt, match="pipeline secret --encryption-key"):
        Encryption().encrypt(VALUE)


def test_a_tampered_value_does_not_decrypt() -> None:
    token = Encryption([NEW]).encrypt(VALUE)
    for position in (0, len(token) // 2, len(token) - 5):
        other = "A" if token[position] != "A" else "B"
        with pytest.raises(CannotDecrypt):
            Encryption([NEW]).decrypt(token[:position] + other + token[position + 1 :])


@pytest.mark.parametrize("key", ["hunter2", "whsec_hunter2", NEW[:-2], "=" * 44, "ü" * 43 + "="])
def test_an_invalid_key_is_rejected_and_never_shown(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidEncryptionKey, match="32 bytes") as caught:
        Encryption([key])
    assert key not in str(caught.value)
    monkeypatch.setenv("PIPELINE_ENCRYPTION_KEY", f"{OLD} {key}")
    with pytest.raises(InvalidSettings, match="PIPELINE_ENCRYPTION_KEY: .*32 bytes") as refused:
        load()
    assert key not in str(refused.value)
    assert OLD not in str(refused.value)


def test_the_setting_lists_keys_newest_first_and_never_shows_them() -> None:
    settings = load(encryption_key=f"{NEW} {OLD}")
    assert settings.encryption_keys == (NEW, OLD)
    assert NEW not in repr(settings)
    assert OLD not in str(settings.model_dump())
    assert NEW not in repr(Encryption([NEW]))


def test_a_new_key_is_random_and_valid() -> None:
    first, second = new_encryption_key(), new_encryption_key()
    assert first != second
    assert Encryption([first]).decrypt(Encryption([first]).encrypt(VALUE)) == VALUE


def test_a_key_may_lack_padding_and_use_either_base64_alphabet() -> None:
    key = "-_" * 21 + "8="
    same_key = key.rstrip("=").replace("-", "+").replace("_", "/")
    assert Encryption([same_key]).decrypt(Encryption([key]).encrypt(VALUE)) == VALUE
