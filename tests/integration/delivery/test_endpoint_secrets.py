"""Secrets and headers of an endpoint's own: how they are set, kept, sent, and never shown."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from standardwebhooks import Webhook

from pipeline.bootstrap import make_context, make_hooks
from pipeline.context import Context
from pipeline.crypto.ed25519_key import derive_public_key
from pipeline.crypto.encryption import CannotDecrypt, Encryption
from pipeline.crypto.secrets import InvalidSecret, fingerprint
from pipeline.crypto.verify_webhook import InvalidWebhook, verify_webhook
from pipeline.database.engine import Database
from pipeline.delivery.endpoint_secrets import (
    KnownSecret,
    describe,
    describe_all,
    forget,
    reseal,
    rotate,
    set_headers,
)
from pipeline.delivery.rules.headers import InvalidHeader
from pipeline.domain.callback_url import InvalidCallbackUrl
from pipeline.errors import InvalidInput
from pipeline.settings import load
from tests.support.lazy import Lazy
from tests.support.receivers.owed import SECRET, Sending, attempts, endpoints, options, owe, states, to, wait_until
from tests.support.receivers.scripted import Request, Scripted, answer

svix = Lazy("svix.webhooks")

KEY, OLD_KEY = "dGhlIG5ld2VzdCBvZiB0d28sIGFuZCBzZWFscyBhbGw=", "bmV3IGtleXMgYXJlIHJhbmRvbSwgdGhpcyBpcyBub3Q="
HERE = "https://receiver.example:443"
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
OWN = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


def context_of(database: Database, key: str | None = KEY, now: Callable[[], datetime] = lambda: NOW) -> Context:
    settings = load(encryption_key=key, webhook_secret=SECRET, allow_private_callbacks="127.0.0.0/8")
    return Context(settings=settings, database=database, hooks=make_hooks(database), now=now)


def sent(database: Database, port: int, **given: Any) -> None:
    """Send one delivery to a receiver, whatever becomes of it."""
    owe(database, to(port))
    with Sending(database, vault=Encryption([KEY]), options=options(delays=[]), **given):
        wait_until(lambda: len(attempts(database)) == 1)


def verifies(request: Request, secret: str) -> bool:
    try:
        return bool(verify_webhook(request.body, request.headers, secret))
    except InvalidWebhook:
        return False


def test_an_endpoints_own_secret_signs_and_that_of_the_settings_until_its_grace_is_over(database: Database) -> None:
    clock = [datetime.now(UTC)]
    context = context_of(database, now=lambda: clock[0])
    with Scripted(answer(500)) as receiver:
        own = rotate(context, receiver.url, grace_seconds=3_600)
        owe(database, to(receiver.port), at=clock[0])
        hours = options(delays=[timedelta(hours=2)])
        with Sending(database, vault=Encryption([KEY]), clock=lambda: clock[0], options=hours) as sender:
            wait_until(lambda: len(attempts(database)) == 1)
            clock[0] += timedelta(hours=3)
            sender.wake()
            wait_until(lambda: len(attempts(database)) == 2)
    first, second = receiver.requests
    assert [len(request.headers["webhook-signature"].split()) for request in (first, second)] == [2, 1]
    assert Webhook(own).verify(first.body.decode(), first.headers)
    svix.Webhook(own).verify(first.body, first.headers)
    assert verifies(first, SECRET)
    at = int(second.headers["webhook-timestamp"])
    assert verify_webhook(second.body, second.headers, own, now=at)
    with pytest.raises(InvalidWebhook, match="no signature matches"):
        verify_webhook(second.body, second.headers, SECRET, now=at)


def test_an_asymmetric_secret_of_an_endpoint_verifies_with_what_is_shown_of_it(database: Database) -> None:
    context = context_of(database)
    with Scripted(answer()) as receiver:
        secret = rotate(context, receiver.url, grace_seconds=0, asymmetric=True)
        (shown,) = describe(context, receiver.url).secrets
        sent(database, receiver.port)
    assert shown.public_key == derive_public_key(secret)
    assert receiver.requests[0].headers["webhook-signature"].startswith("v1a,")
    assert verifies(receiver.requests[0], derive_public_key(secret))


def test_other_endpoints_are_signed_for_with_the_secret_of_the_settings(database: Database) -> None:
    with Scripted(answer()) as receiver, Scripted(answer()) as other:
        own = rotate(context_of(database), receiver.url, grace_seconds=0)
        owe(database, to(receiver.port, other.port))
        with Sending(database, vault=Encryption([KEY])):
            wait_until(lambda: states(database) == ["delivered"] * 2)
    assert [verifies(receiver.requests[0], secret) for secret in (own, SECRET)] == [True, False]
    assert [verifies(other.requests[0], secret) for secret in (own, SECRET)] == [False, True]


def test_a_change_holds_from_the_next_attempt_on(database: Database) -> None:
    context = context_of(database)
    with Scripted(answer(500)) as receiver:
        rotate(context, receiver.url, grace_seconds=0, secret=OWN)
        set_headers(context, receiver.url, {"X-Token": "first"})

        def change(request: Request, connection: Any) -> bool:
            if len(receiver.requests) == 1:
                rotate(context, receiver.url, grace_seconds=0, secret=SECRET)
                set_headers(context, receiver.url, {"X-Token": "second"})
            return answer(500)(request, connection)

        receiver.answering = change
        owe(database, to(receiver.port))
        with Sending(database, vault=Encryption([KEY]), options=options(delays=[timedelta(milliseconds=1)])):
            wait_until(lambda: states(database) == ["dead"])
    assert [request.headers["x-token"] for request in receiver.requests] == ["first", "second"]
    assert [verifies(request, OWN) for request in receiver.requests] == [True, False]
    assert [verifies(request, SECRET) for request in receiver.requests] == [False, True]


def test_own_headers_are_sent_beside_ours_and_only_to_their_endpoint(database: Database) -> None:
    with Scripted(answer()) as receiver, Scripted(answer()) as other:
        set_headers(context_of(database), receiver.url, {"Authorization": "Bearer hunter2", "X-Tenant": "a b"})
        owe(database, to(receiver.port, other.port))
        with Sending(database, vault=Encryption([KEY])):
            wait_until(lambda: states(database) == ["delivered"] * 2)
    ours = {name.lower() for name in other.requests[0].names}
    theirs = {name.lower(): value for name, value in receiver.requests[0].headers.items()}
    assert {name: theirs[name] for name in theirs.keys() - ours} == {
        "authorization": "Bearer hunter2",
        "x-tenant": "a b",
    }
    assert len(receiver.requests[0].names) == len(theirs)
    assert verifies(receiver.requests[0], SECRET)


def test_headers_are_never_sent_to_another_origin_than_theirs(database: Database) -> None:
    with Scripted(answer()) as receiver, Scripted(answer()) as thief:
        set_headers(context_of(database), receiver.url, {"Authorization": "Bearer hunter2"})
        owe(database, [(thief.url, f"http://127.0.0.1:{receiver.port}")])
        with Sending(database, vault=Encryption([KEY]), options=options(delays=[])):
            wait_until(lambda: states(database) == ["dead"])
    assert (thief.connections, attempts(database)[0]["error_type"]) == (0, "config_error")


@pytest.mark.parametrize("vault", [Encryption(), Encryption([OLD_KEY])], ids=["no key", "another key"])
def test_what_cannot_be_decrypted_defers_its_deliveries_and_no_others(
    database: Database, vault: Encryption, caplog: pytest.LogCaptureFixture
) -> None:
    with Scripted(answer()) as receiver, Scripted(answer()) as other:
        own = rotate(context_of(database), receiver.url, grace_seconds=0)
        owe(database, to(receiver.port, receiver.port, other.port, other.port))
        with Sending(database, vault=vault, options=options(per_endpoint=1, poll_seconds=0.01)):
            wait_until(lambda: states(database) == ["pending"] * 2 + ["delivered"] * 2)
        assert receiver.connections == 0
        assert [row["delivery_id"] for row in attempts(database)] == [3, 4]
        assert endpoints(database)[to(receiver.port)[0][1]]["disabled_at"] is None
        with Sending(database, vault=Encryption([OLD_KEY, KEY])):
            wait_until(lambda: states(database) == ["delivered"] * 4)
    assert [request.headers["webhook-attempt"] for request in receiver.requests] == ["1", "1"]
    assert verifies(receiver.requests[0], own)
    told = [record.getMessage() for record in caplog.records if "endpoint_locked" in record.getMessage()]
    assert len(told) == 1
    assert "PIPELINE_ENCRYPTION_KEY" in told[0]


def test_nothing_that_is_stored_logged_or_described_shows_a_secret(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    context = context_of(database)
    with Scripted(answer(500)) as receiver:
        own = rotate(context, receiver.url, asymmetric=True)
        set_headers(context, receiver.url, {"Authorization": "Bearer hunter2"})
        sent(database, receiver.port)
    seen = repr((endpoints(database), attempts(database), describe_all(context), context.settings))
    seen += "".join(record.getMessage() for record in caplog.records)
    for secret in (own[5:], "hunter2", SECRET[6:], KEY):
        assert secret not in seen
    assert describe(context, receiver.url).headers == ("authorization",)


def test_what_an_endpoint_has_is_described_with_the_end_of_each_secret(database: Database) -> None:
    context = context_of(database)
    secret = rotate(context, "https://receiver.example/hook", asymmetric=True)
    newest = rotate(context, HERE, grace_seconds=60)
    found = describe(context, HERE)
    assert found.origin == HERE
    assert found.secrets == (
        KnownSecret(None, None, fingerprint(newest)),
        KnownSecret(derive_public_key(secret), NOW + timedelta(seconds=60), fingerprint(secret)),
        KnownSecret(None, NOW + timedelta(seconds=60), fingerprint(SECRET)),
    )
    assert fingerprint(newest) == hashlib.sha256(newest.encode()).hexdigest()[:8]
    assert (found.headers, found.locked) == ((), None)
    assert describe(context, "https://unknown.example").secrets == ()
    assert [each.origin for each in describe_all(context)] == [HERE]


def test_a_key_that_is_missing_is_said_before_anything_is_stored_and_in_what_is_described(database: Database) -> None:
    without = context_of(database, key=None)
    with pytest.raises(CannotDecrypt, match="pipeline secret --encryption-key"):
        rotate(without, HERE)
    with pytest.raises(CannotDecrypt, match="pipeline secret --encryption-key"):
        set_headers(without, HERE, {"X-Token": "a"})
    assert endpoints(database) == {}
    rotate(context_of(database), HERE)
    assert "PIPELINE_ENCRYPTION_KEY" in str(describe(without, HERE).locked)
    with pytest.raises(CannotDecrypt):
        rotate(context_of(database, key=OLD_KEY), HERE)


def test_headers_are_added_changed_and_taken_away_one_by_one(database: Database) -> None:
    context = context_of(database)
    set_headers(context, HERE, {"X-One": "1", "X-Two": "2"})
    set_headers(context, HERE, {"x-two": "two", "X-Three": "3", "X-ONE": None, "X-Unknown": None})
    assert describe(context, HERE).headers == ("x-three", "x-two")
    set_headers(context, HERE, {"X-Two": None, "X-Three": None})
    assert endpoints(database)[HERE]["headers"] is None
    with pytest.raises(InvalidHeader, match="cannot be set"):
        set_headers(context, HERE, {"Host": "elsewhere"})
    set_headers(context, HERE, {f"x-{number}": "v" for number in range(20)})
    with pytest.raises(InvalidHeader, match="there are 21"):
        set_headers(context, HERE, {"x-20": "v"})


def test_what_is_forgotten_leaves_the_settings_secret_alone_even_where_it_cannot_be_read(database: Database) -> None:
    with Scripted(answer()) as receiver:
        rotate(context_of(database, key=OLD_KEY), receiver.url)
        set_headers(context_of(database, key=OLD_KEY), receiver.url, {"X-Token": "a"})
        forget(context_of(database), receiver.url)
        sent(database, receiver.port)
    assert verifies(receiver.requests[0], SECRET)
    assert "x-token" not in {name.lower() for name in receiver.requests[0].names}


def test_everything_is_encrypted_anew_under_the_newest_key(database: Database) -> None:
    old = context_of(database, key=OLD_KEY)
    rotate(old, HERE, secret=OWN)
    set_headers(old, "https://other.example", {"X-Token": "a"})
    assert reseal(context_of(database, key=f"{KEY} {OLD_KEY}")) == 2
    new = context_of(database)
    assert len(describe(new, HERE).secrets) == 2
    assert describe(new, "https://other.example").headers == ("x-token",)
    assert describe(old, HERE).locked
    with pytest.raises(CannotDecrypt):
        reseal(old)
    assert len(describe(new, HERE).secrets) == 2


@pytest.mark.parametrize("seconds", [-1, 604_801])
def test_a_grace_beyond_seven_days_is_refused(database: Database, seconds: int) -> None:
    with pytest.raises(InvalidInput, match=f"grace_seconds is {seconds}"):
        rotate(context_of(database), HERE, grace_seconds=seconds)
    rotate(context_of(database), HERE, grace_seconds=604_800)


def test_a_secret_or_an_origin_that_cannot_be_used_is_refused(database: Database) -> None:
    with pytest.raises(InvalidSecret):
        rotate(context_of(database), HERE, secret="whsec_short")
    with pytest.raises(InvalidCallbackUrl, match="^the endpoint "):
        rotate(context_of(database), "receiver.example")
    assert endpoints(database) == {}


def test_rotations_at_the_same_time_lose_no_secret(database: Database) -> None:
    context = context_of(database)
    threads = [threading.Thread(target=rotate, args=(context, HERE)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    secrets = describe(context, HERE).secrets
    assert len(secrets) == 7
    assert [secret.expires_at is None for secret in secrets] == [True] + [False] * 6


def test_a_worker_of_the_settings_opens_what_its_key_seals(database_url: str) -> None:
    given = {"database_url": database_url, "webhook_secret": SECRET, "allow_private_callbacks": "127.0.0.0/8"}
    context = make_context(load(**given, encryption_key=f"{KEY} {OLD_KEY}"))
    try:
        rotate(context, HERE)
        assert len(describe(context, HERE).secrets) == 2
    finally:
        context.database.close()
