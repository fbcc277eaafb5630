"""Standard Webhooks signatures: the vectors of the reference library, foreign verifiers, and what is refused."""

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

from pipeline.crypto.ed25519_key import new_signing_secret, public_of
from pipeline.crypto.secrets import InvalidSecret, Secret, new_secret, parse_secret
from pipeline.crypto.signer import Signer
from pipeline.crypto.verify import InvalidWebhook, verify_webhook
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
def test_signatures_are_those_of_the_reference_library(
    secret: str, webhook_id: str, timestamp: int, body: bytes, expected: str
) -> None:
    assert Signer([secret]).sign(webhook_id, timestamp, body) == expected


def test_every_secret_signs_and_the_newest_stands_first() -> None:
    assert Signer([S2, S1]).sign(*CASE_A) == (
        "v1,O4Gjv1HqPqsMrjmczoggs/sWA8gZD0VyHG+fLh4+ktI= v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )


@settings(max_examples=30)
@given(
    st.dictionaries(st.text(st.characters(codec="utf-8")), st.integers(-(2**53), 2**53)),
    st.binary(min_size=24, max_size=64),
)
def test_what_we_sign_verifies_with_foreign_libraries_and_with_ours(event: dict[str, int], key: bytes) -> None:
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


def test_padding_and_prefix_of_a_secret_may_be_missing() -> None:
    assert {parse_secret(text) for text in (S2, S2.rstrip("="), S2.removeprefix("whsec_"), f" {S2}\n")} == {
        bytes(range(32))
    }


@pytest.mark.parametrize("size", [0, 3, 23, 65])
def test_a_secret_that_is_too_short_or_too_long_is_refused_with_its_size_only(size: int) -> None:
    text = "whsec_" + base64.b64encode(b"k" * size).decode()
    with pytest.raises(InvalidSecret, match=f"has {size};") as caught:
        parse_secret(text)
    assert size == 0 or base64.b64encode(b"k" * size).decode() not in str(caught.value)


@pytest.mark.parametrize("text", ["whsec_not base64 at all, really not!", "whsec_ü" + "A" * 40, "whsec_" + "A" * 33])
def test_a_secret_that_is_not_base64_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(InvalidSecret, match="make one with") as caught:
        Signer([text])
    assert text.removeprefix("whsec_") not in str(caught.value)


def test_a_signer_without_secrets_is_refused() -> None:
    with pytest.raises(InvalidSecret, match="no webhook secret"):
        Signer([])


def test_a_new_secret_is_random_and_can_be_used() -> None:
    first, second = new_secret(), new_secret()
    assert first != second
    assert len(parse_secret(first)) == 32


def test_a_signer_shows_no_secret() -> None:
    assert "MfKQ" not in repr(Signer([S1])) + repr(vars(Signer([S1])))


@pytest.mark.parametrize("secret", [S1, [S1], [S2, S1]])
def test_a_webhook_signed_with_any_of_the_secrets_is_accepted(secret: str | list[str]) -> None:
    beside_another_version = signed(**{"webhook-signature": "v1a,xyz= " + signed()["webhook-signature"]})
    for headers in (signed(S1), signed([S2, S1]), beside_another_version):
        assert verify_webhook(ITEM, headers, secret, now=NOW)["type"] == "item.completed"


@pytest.mark.parametrize("secret", [f"{S2} {S1}", f" {S1}\n{S2} ", [S2, S1], (S1,)])
def test_several_secrets_are_given_as_the_setting_has_them_or_one_by_one(secret: str | list[str]) -> None:
    assert verify_webhook(ITEM, signed(), secret, now=NOW)["type"] == "item.completed"


@pytest.mark.parametrize(
    ("secret", "said"),
    [(None, "no webhook secret is given"), ("", "no webhook secret"), ([], "no webhook secret"), ([None], "NoneType")],
)
def test_no_secret_is_bad_input(secret: Any, said: str) -> None:
    with pytest.raises(InvalidSecret, match=said):
        verify_webhook(ITEM, signed(), secret, now=NOW)


def test_header_names_are_found_in_any_case() -> None:
    headers = {name.title(): value for name, value in signed().items()}
    assert verify_webhook(ITEM, headers, S1, now=NOW)["data"]["item_id"] == "i1"


@pytest.mark.parametrize("late", [-300, 0, 300])
def test_a_webhook_within_the_tolerance_is_accepted(late: int) -> None:
    assert verify_webhook(ITEM, signed(), S1, now=NOW + late)


@pytest.mark.parametrize(("late", "told"), [(301, "301 s ago"), (-301, "301 s in the future")])
def test_a_webhook_beyond_the_tolerance_is_refused_with_how_far(late: int, told: str) -> None:
    with pytest.raises(InvalidWebhook, match=told):
        verify_webhook(ITEM, signed(), S1, now=NOW + late)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_missing_header_is_named(name: str) -> None:
    headers = {given: value for given, value in signed().items() if given != name}
    with pytest.raises(InvalidWebhook, match=name):
        verify_webhook(ITEM, headers, S1, now=NOW)


@pytest.mark.parametrize("timestamp", ["", "soon", "1700000000.9", "-1", "١٧٠٠٠٠٠٠٠٠", "9" * 400, " 1700000000"])
def test_a_timestamp_that_is_no_whole_number_is_refused(timestamp: str) -> None:
    with pytest.raises(InvalidWebhook, match="webhook-timestamp"):
        verify_webhook(ITEM, signed(**{"webhook-timestamp": timestamp}), S1, now=NOW)


@pytest.mark.parametrize("signature", ["v1", "foo", "v1,a,b", "v1,☕", "v1,!!!!", "v2,AAAA", ","])
def test_malformed_signatures_are_refused_without_a_foreign_error(signature: str) -> None:
    with pytest.raises(InvalidWebhook, match="holds no v1 signature"):
        verify_webhook(ITEM, signed(**{"webhook-signature": signature}), S1, now=NOW)


@pytest.mark.parametrize("body", [b"[1]", b"1", b"\xff", b"", b"{"])
def test_a_signed_body_that_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidWebhook, match="the body is signed but no JSON"):
        verify_webhook(body, signed(body=body), S1, now=NOW)


def test_no_change_of_a_single_byte_goes_unnoticed() -> None:
    headers = signed()
    for position, bit in itertools.product(range(len(ITEM)), (0, 7)):
        forged = bytearray(ITEM)
        forged[position] ^= 1 << bit
        with pytest.raises(InvalidWebhook, match="no signature fits"):
            verify_webhook(bytes(forged), headers, S1, now=NOW)
    for changed in ({"webhook-id": "msg_2"}, {"webhook-timestamp": str(NOW + 1)}):
        with pytest.raises(InvalidWebhook, match="no signature fits"):
            verify_webhook(ITEM, headers | changed, S1, now=NOW)
    with pytest.raises(InvalidWebhook, match="no signature fits"):
        verify_webhook(ITEM, headers, S2, now=NOW)


# The vector of Svix: an Ed25519 seed and its public key.
WHSK = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
WHPK = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
V1A = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="


def test_an_asymmetric_signature_is_that_of_the_vector_and_its_public_key_is_shown() -> None:
    assert Signer([WHSK]).sign(*CASE_A) == V1A
    assert public_of(WHSK) == WHPK


def test_both_versions_may_sign_one_request_in_the_order_given() -> None:
    assert Signer([S1, WHSK]).sign(*CASE_A) == f"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= {V1A}"


@pytest.mark.parametrize("secret", [WHPK, WHSK, WHPK.rstrip("="), [S2, WHPK], S1])
def test_a_webhook_signed_by_both_versions_verifies_with_either_secret(secret: str | list[str]) -> None:
    headers = signed([WHSK, S1])
    assert verify_webhook(ITEM, headers, secret, now=NOW)["type"] == "item.completed"
    with pytest.raises(InvalidWebhook, match="no signature fits"):
        verify_webhook(ITEM + b" ", headers, secret, now=NOW)


def test_a_signature_of_one_version_is_never_taken_for_the_other() -> None:
    symmetric, asymmetric = signed(S1), signed(WHSK)
    with pytest.raises(InvalidWebhook, match="holds no v1a signature"):
        verify_webhook(ITEM, symmetric, WHPK, now=NOW)
    with pytest.raises(InvalidWebhook, match="holds no v1 signature"):
        verify_webhook(ITEM, asymmetric, S1, now=NOW)
    with pytest.raises(InvalidWebhook, match="holds no v1 or v1a signature"):
        verify_webhook(ITEM, signed(**{"webhook-signature": "v2,AAAA"}), [S1, WHPK], now=NOW)
    renamed = asymmetric["webhook-signature"].replace("v1a,", "v1,")
    with pytest.raises(InvalidWebhook, match="no signature fits"):
        verify_webhook(ITEM, signed(**{"webhook-signature": renamed}), S1, now=NOW)


def test_foreign_libraries_pass_over_the_asymmetric_signature() -> None:
    now = int(datetime.now(UTC).timestamp())
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(now)}
    headers["webhook-signature"] = Signer([WHSK, S1]).sign("msg_1", now, ITEM)
    assert Webhook(S1).verify(ITEM.decode(), headers)["type"] == "item.completed"
    svix.Webhook(S1).verify(ITEM, headers)


def test_a_new_signing_secret_is_random_and_verifies_with_its_public_key() -> None:
    first, second = new_signing_secret(), new_signing_secret()
    assert first != second
    assert verify_webhook(ITEM, signed(first), public_of(first), now=NOW)
    with pytest.raises(InvalidWebhook):
        verify_webhook(ITEM, signed(first), public_of(second), now=NOW)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("whsk_not base64!", "base64 of 64 bytes"),
        ("whsk_" + base64.b64encode(b"k" * 32).decode(), "base64 of 64 bytes"),
        ("whsk_" + base64.b64encode(b"k" * 64).decode(), "second half"),
        (WHPK, "cannot sign"),
    ],
)
def test_a_signing_secret_that_cannot_sign_is_refused_and_not_shown(text: str, told: str) -> None:
    with pytest.raises(InvalidSecret, match=told) as caught:
        Signer([text])
    assert text[5:] not in str(caught.value)


def test_a_public_key_of_another_length_is_refused() -> None:
    with pytest.raises(InvalidSecret, match="base64 of 32 bytes"):
        verify_webhook(ITEM, signed(), "whpk_" + base64.b64encode(b"k" * 31).decode(), now=NOW)


def at(seconds: int) -> datetime:
    return datetime.fromtimestamp(NOW + seconds, UTC)


def test_a_secret_signs_until_it_expires_and_not_from_then_on() -> None:
    signer = Signer([S2, Secret(WHSK, at(20)), Secret(S1, at(10))])

    def verified(seconds: int) -> list[bool]:
        headers = {"webhook-id": "msg_1", "webhook-timestamp": str(NOW + seconds)}
        headers["webhook-signature"] = signer.sign("msg_1", NOW + seconds, ITEM)
        assert len(headers["webhook-signature"].split()) == sum(found := [fits(headers, key) for key in (S2, WHPK, S1)])
        return found

    def fits(headers: dict[str, str], key: str) -> bool:
        try:
            return bool(verify_webhook(ITEM, headers, key, now=int(headers["webhook-timestamp"])))
        except InvalidWebhook:
            return False

    # A clock may also be set back.
    for seconds, expected in [(0, 3), (9, 3), (10, 2), (19, 2), (20, 1), (10**9, 1), (19, 2), (0, 3)]:
        assert verified(seconds) == [True, expected > 1, expected > 2], seconds


def test_secrets_that_all_expire_and_more_than_eleven_are_refused() -> None:
    with pytest.raises(InvalidSecret, match="every webhook secret expires"):
        Signer([Secret(S1, at(10))])
    assert len(Signer([new_secret() for _ in range(11)]).sign(*CASE_A).split()) == 11
    with pytest.raises(InvalidSecret, match="there are 12"):
        Signer([new_secret() for _ in range(12)])


def test_a_secret_is_not_in_its_repr() -> None:
    assert "MfKQ" not in repr(Secret(S1))
