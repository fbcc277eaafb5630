"""`pipeline.testing.sign_webhook`, as the tests of a receiver use it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook

from pipeline import InvalidSecret, InvalidWebhook, verify_webhook
from pipeline.crypto.ed25519_key import derive_public_key, new_signing_secret
from pipeline.crypto.secrets import new_secret
from pipeline.testing import TEST_SECRET, sign_webhook

BODY = json.dumps({"type": "item.completed", "timestamp": "2026-11-21T10:15:02Z", "data": {"key": "T-1"}}).encode()


def test_what_is_signed_verifies_here_and_elsewhere() -> None:
    headers = sign_webhook(BODY)
    assert verify_webhook(BODY, headers, TEST_SECRET)["data"] == {"key": "T-1"}
    assert Webhook(TEST_SECRET).verify(BODY, headers)["type"] == "item.completed"
    assert headers["content-type"] == "application/json"
    assert sign_webhook(BODY)["webhook-id"] != headers["webhook-id"]


ONE, OTHER = new_secret(), new_secret()


@pytest.mark.parametrize("secret", [ONE, f"{ONE} {OTHER}", [ONE, OTHER]], ids=["one", "text", "list"])
def test_any_shared_secret_signs(secret: str | list[str]) -> None:
    headers = sign_webhook(BODY, secret, webhook_id="msg_1", attempt=3)
    assert (headers["webhook-id"], headers["webhook-attempt"]) == ("msg_1", "3")
    for one in secret.split() if isinstance(secret, str) else secret:
        verify_webhook(BODY, headers, one)


def test_a_key_pair_signs_and_its_public_half_verifies() -> None:
    secret = new_signing_secret()
    verify_webhook(BODY, sign_webhook(BODY, secret), derive_public_key(secret))


def test_a_request_of_long_ago_and_a_body_that_was_changed_are_refused() -> None:
    old = sign_webhook(BODY, timestamp=datetime.now(UTC) - timedelta(hours=1))
    with pytest.raises(InvalidWebhook, match="the request is a replay"):
        verify_webhook(BODY, old, TEST_SECRET)
    with pytest.raises(InvalidWebhook, match="no signature matches"):
        verify_webhook(BODY + b" ", sign_webhook(BODY), TEST_SECRET)


def test_a_secret_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidSecret):
        sign_webhook(BODY, "whsec_tooshort")
