"""Standard Webhooks signatures: test vectors, other implementations' verifiers, and what is rejected."""

from __future__ import annotations

import base64
import itertools
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook

from pipeline.crypto.ed25519_key import derive_public_key, new_signing_secret
from pipeline.crypto.secrets import InvalidSecret, Secret, new_secret, parse_secret
from pipeline.crypto.signer import Signer
from pipeline.crypto.verify_webhook import InvalidWebhook, verify_webhook
from tests.support.lazy import Lazy

svix = Lazy("svix.webhooks")

S1 = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
S2 = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
CASE_A = ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
ITEM = (
    b'{"type":"item.completed","timestamp":"2023-11-14T22:13:20.000000Z",'
    b'"data":{"batch_id":"b1","item_id":"i1","status":"succeeded"}}'
)
NOW = 1_700_000_000


def signed(secret: str | list[str] = S1, body: bytes = ITEM, **changed: str) -> dict[str, str]:
    secrets = [secret] if isinstance(secret, str) else secret
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(NOW),
        "webhook-signature": Signer(secrets).sign("msg_1", NOW, body),
    }
    return headers | changed


@pytest.mark.parametrize(
    ("secret", "webhook_id", "timestamp", "body", "expected"),
    [
        (S1, *CASE_A, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
        (S1, "msg_01JBATCH0000000000000001", NOW, ITEM, "v1,NNzBkrutP8a67s8rVe42ToTuaidVRVNV7dgcfM+ijMo="),
        (S1, "msg_utf8", NOW, '{"name":"café ☕ 日本"}'.encode(), "v1,qoeYyNmCTNg4DOlOyVvBEb9gonCo/IYGjezrFDRadL0="),
        (S1, "msg_empty", NOW, b"", "v1,LrOGikvEp3ovC4ipwU5sfXzzFy9SMN1tDL3jPPGtLmc="),
        (S2, *CASE_A, "v1,O4Gjv1HqPqsMrjmczoggs/sWA8gZD0VyHG+fLh4+ktI="),
        (S1, "msg_dots", NOW + 1, b"a.b.c\n", "v1,zu45ve+hwIMrGeEizkGx8wtDpCtClDNIJ71r90yncAo="),
    ],
)
def test_signatures_match_the_reference_library(
    secret: str, webhook_id: str, timestamp: int, body: bytes, expected: str
) -> None:
    assert Signer([secret]).sign(webhook_id, timestamp, body) == expected


def test_every_secret_signs_newest_first() -> None:
    assert Signer([S2, S1]).sign(*CASE_A) == (
        "v1,O4Gjv1HqPqsMrjmczoggs/sWA8gZD0VyHG+fLh4+ktI= v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )


@settings(max_examples=30)
@given(
    st.dictionaries(st.text(st.characters(codec="utf-8")), st.integers(-(2**53), 2**53)),
    st.binary(min_size=24, max_size=64),
)
def test_signatures_verify_with_other_libraries_and_with_ours(event: dict[str, int], key: bytes) -> None:
    secret = "whsec_" + base64.b64encode(key).decode()
    body = json.dumps(event, ensure_ascii=False).encode()
    now = int(datetime.now(UTC).timestamp())
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(now),
        "webhook-signature": Signer([secret]).sign("msg_1", now, body),
    }
    assert Webhook(secret).verify(body.decode(), headers) == event
    svix.Webhook(secret).verify(body, headers)
    with pytest.raises(svix.WebhookVerificationError):
        svix.Webhook(secret).verify(body + b" ", headers)
    assert verify_webhook(body, headers, secret) == event


def test_a_secret_may_lack_padding_and_prefix() -> None:
    assert {parse_secret(text) for text in (S2, S2.rstrip("="), S2.removeprefix("whsec_"), f" {S2}\n")} == {
        bytes(range(32))
    }


@pytest.mark.parametrize("size", [0, 3, 23, 65])
def test_rejecting_a_secret_of_the_wrong_size_shows_only_its_size(size: int) -> None:
    text = "whsec_" + base64.b64encode(b"k" * size).decode()
    with pytest.raises(InvalidSecret, match=f"has {size};") as caught:
        parse_secret(text)
    assert size == 0 or base64.b64encode(b"k" * size).decode() not in str(caught.value)


@pytest.mark.parametrize("text", ["whsec_not base64 at all, really not!", "whsec_ü" + "A" * 40, "whsec_" + "A" * 33])
def test_a_secret_that_is_not_base64_is_rejected_and_not_shown(text: str) -> None:
    with pytest.raises(InvalidSecret, match="make one with") as caught:
        Signer([text])
    assert text.removeprefix("whsec_") not in str(caught.value)


def test_a_signer_needs_a_secret() -> None:
    with pytest.raises(InvalidSecret, match="no webhook secret"):
        Signer([])


def test_a_new_secret_is_random_and_valid() -> None:
    first, second = new_secret(), new_secret()
    assert first != second
    assert len(parse_secret(first)) == 32


def test_a_signer_does_not_show_its_secret() -> None:
    assert "MfKQ" not in repr(Signer([S1])) + repr(vars(Signer([S1])))


@pytest.mark.parametrize("secret", [S1, [S1], [S2, S1]])
def test_a_webhook_signed_with_any_of_the_secrets_is_accepted(secret: str | list[str]) -> None:
    with_another_version = signed(**{"webhook-signature": "v1a,xyz= " + signed()["webhook-signature"]})
    for headers in (signed(S1), signed([S2, S1]), with_another_version):
        assert verify_webhook(ITEM, headers, secret, now=NOW)["type"] == "item.completed"


@pytest.mark.parametrize("secret", [f"{S2} {S1}", f" {S1}\n{S2} ", [S2, S1], (S1,)])
def test_several_secrets_may_be_one_string_or_a_sequence(secret: str | list[str]) -> None:
    assert verify_webhook(ITEM, signed(), secret, now=NOW)["type"] == "item.completed"


@pytest.mark.parametrize(
    ("secret", "message"),
    [(None, "no webhook secret is given"), ("", "no webhook secret"), ([], "no webhook secret"), ([None], "NoneType")],
)
def test_verifying_needs_a_secret(secret: Any, message: str) -> None:
    with pytest.raises(InvalidSecret, match=message):
        verify_webhook(ITEM, signed(), secret, now=NOW)


def test_header_names_are_case_insensitive() -> None:
    headers = {name.title(): value for name, value in signed().items()}
    assert verify_webhook(ITEM, headers, S1, now=NOW)["data"]["item_id"] == "i1"


@pytest.mark.parametrize("age", [-300, 0, 300])
def test_a_webhook_within_the_tolerance_is_accepted(age: int) -> None:
    assert verify_webhook(ITEM, signed(), S1, now=NOW + age)


@pytest.mark.parametrize(("age", "message"), [(301, "301 s ago"), (-301, "301 s in the future")])
def test_rejecting_a_webhook_beyond_the_tolerance_says_how_far_it_is_off(age: int, message: str) -> None:
    with pytest.raises(InvalidWebhook, match=message):
        verify_webhook(ITEM, signed(), S1, now=NOW + age)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_missing_header_is_named(name: str) -> None:
    headers = {header: value for header, value in signed().items() if header != name}
    with pytest.raises(InvalidWebhook, match=name):
        verify_webhook(ITEM, headers, S1, now=NOW)


@pytest.mark.parametrize("timestamp", ["", "soon", "1700000000.9", "-1", "١٧٠٠٠٠٠٠٠٠", "9" * 400, " 1700000000"])
def test_a_timestamp_that_is_not_a_whole_number_is_rejected(timestamp: str) -> None:
    with pytest.raises(InvalidWebhook, match="webhook-timestamp"):
        verify_webhook(ITEM, signed(**{"webhook-timestamp": timestamp}), S1, now=NOW)


@pytest.mark.parametrize("signature", ["v1", "foo", "v1,a,b", "v1,☕", "v1,!!!!", "v2,AAAA", ","])
def test_a_malformed_signature_raises_invalid_webhook(signature: str) -> None:
    with pytest.raises(InvalidWebhook, match="contains no v1 signature"):
        verify_webhook(ITEM, signed(**{"webhook-signature": signature}), S1, now=NOW)


@pytest.mark.parametrize("body", [b"[1]", b"1", b"\xff", b"", b"{"])
def test_a_signed_body_that_is_not_a_json_object_is_rejected(body: bytes) -> None:
    with pytest.raises(InvalidWebhook, match="the body is signed but is not (a )?JSON"):
        verify_webhook(body, signed(body=body), S1, now=NOW)


def test_changing_any_byte_invalidates_the_signature() -> None:
    headers = signed()
    for position, bit in itertools.product(range(len(ITEM)), (0, 7)):
        forged = bytearray(ITEM)
        forged[position] ^= 1 << bit
        with pytest.raises(InvalidWebhook, match="no signature matches"):
            verify_webhook(bytes(forged), headers, S1, now=NOW)
    for changed in ({"webhook-id": "msg_2"}, {"webhook-timestamp": str(NOW + 1)}):
        with pytest.raises(InvalidWebhook, match="no signature matches"):
            verify_webhook(ITEM, headers | changed, S1, now=NOW)
    with pytest.raises(InvalidWebhook, match="no signature matches"):
        verify_webhook(ITEM, headers, S2, now=NOW)


# Svix's test vector: an Ed25519 seed and its public key.
WHSK = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
WHPK = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
V1A = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="


def test_an_asymmetric_signature_and_public_key_match_the_vector() -> None:
    assert Signer([WHSK]).sign(*CASE_A) == V1A
    assert derive_public_key(WHSK) == WHPK


def test_both_versions_may_sign_one_request_in_the_order_of_the_secrets() -> None:
    assert Signer([S1, WHSK]).sign(*CASE_A) == f"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= {V1A}"


@pytest.mark.parametrize("secret", [WHPK, WHSK, WHPK.rstrip("="), [S2, WHPK], S1])
def test_a_webhook_signed_by_both_versions_verifies_with_either_secret(secret: str | list[str]) -> None:
    headers = signed([WHSK, S1])
    assert verify_webhook(ITEM, headers, secret, now=NOW)["type"] == "item.completed"
    with pytest.raises(InvalidWebhook, match="no signature matches"):
        verify_webhook(ITEM + b" ", headers, secret, now=NOW)


def test_a_signature_of_one_version_never_passes_for_the_other() -> None:
    symmetric, asymmetric = signed(S1), signed(WHSK)
    with pytest.raises(InvalidWebhook, match="contains no v1a signature"):
        verify_webhook(ITEM, symmetric, WHPK, now=NOW)
    with pytest.raises(InvalidWebhook, match="contains no v1 signature"):
        verify_webhook(ITEM, asymmetric, S1, now=NOW)
    with pytest.raises(InvalidWebhook, match="contains no v1 or v1a signature"):
        verify_webhook(ITEM, signed(**{"webhook-signature": "v2,AAAA"}), [S1, WHPK], now=NOW)
    renamed = asymmetric["webhook-signature"].replace("v1a,", "v1,")
    with pytest.raises(InvalidWebhook, match="no signature matches"):
        verify_webhook(ITEM, signed(**{"webhook-signature": renamed}), S1, now=NOW)


def test_other_libraries_ignore_the_asymmetric_signature() -> None:
    now = int(datetime.now(UTC).timestamp())
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(now)}
    headers["webhook-signature"] = Signer([WHSK, S1]).sign("msg_1", now, ITEM)
    assert Webhook(S1).verify(ITEM.decode(), headers)["type"] == "item.completed"
    svix.Webhook(S1).verify(ITEM, headers)


def test_a_new_signing_secret_is_random_and_verifies_with_its_public_key() -> None:
    first, second = new_signing_secret(), new_signing_secret()
    assert first != second
    assert verify_webhook(ITEM, signed(first), derive_public_key(first), now=NOW)
    with pytest.raises(InvalidWebhook):
        verify_webhook(ITEM, signed(first), derive_public_key(second), now=NOW)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("whsk_not base64!", "base64 of 64 bytes"),
        ("whsk_" + base64.b64encode(b"k" * 32).decode(), "base64 of 64 bytes"),
        ("whsk_" + base64.b64encode(b"k" * 64).decode(), "second half"),
        (WHPK, "cannot sign"),
    ],
)
def test_a_secret_that_cannot_sign_is_rejected_and_not_shown(text: str, message: str) -> None:
    with pytest.raises(InvalidSecret, match=message) as caught:
        Signer([text])
    assert text[5:] not in str(caught.value)


def test_a_public_key_of_the_wrong_length_is_rejected() -> None:
    with pytest.raises(InvalidSecret, match="base64 of 32 bytes"):
        verify_webhook(ITEM, signed(), "whpk_" + base64.b64encode(b"k" * 31).decode(), now=NOW)


def at(seconds: int) -> datetime:
    return datetime.fromtimestamp(NOW + seconds, UTC)


def test_a_secret_stops_signing_when_it_expires() -> None:
    signer = Signer([S2, Secret(WHSK, at(20)), Secret(S1, at(10))])

    def verifying_secrets(seconds: int) -> list[bool]:
        headers = {"webhook-id": "msg_1", "webhook-timestamp": str(NOW + seconds)}
        headers["webhook-signature"] = signer.sign("msg_1", NOW + seconds, ITEM)
        verified = [verifies(headers, secret) for secret in (S2, WHPK, S1)]
        assert len(headers["webhook-signature"].split()) == sum(verified)
        return verified

    def verifies(headers: dict[str, str], secret: str) -> bool:
        try:
            return bool(verify_webhook(ITEM, headers, secret, now=int(headers["webhook-timestamp"])))
        except InvalidWebhook:
            return False

    # The last two: the clock is set back.
    for seconds, expected in [(0, 3), (9, 3), (10, 2), (19, 2), (20, 1), (10**9, 1), (19, 2), (0, 3)]:
        assert verifying_secrets(seconds) == [True, expected > 1, expected > 2], seconds


def test_a_signer_rejects_secrets_that_all_expire_and_more_than_eleven() -> None:
    with pytest.raises(InvalidSecret, match="every webhook secret expires"):
        Signer([Secret(S1, at(10))])
    assert len(Signer([new_secret() for _ in range(11)]).sign(*CASE_A).split()) == 11
    with pytest.raises(InvalidSecret, match="there are 12"):
        Signer([new_secret() for _ in range(12)])


def test_a_secret_is_not_in_its_repr() -> None:
    assert "MfKQ" not in repr(Secret(S1))
