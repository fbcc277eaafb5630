"""What the headers of a request say of its body."""

from __future__ import annotations

import pytest
from starlette.datastructures import Headers

from pipeline.batches.idempotency import BodyDigest
from pipeline.http_api.problems import Problem
from pipeline.http_api.uploads.body_format import read_content_digest, read_format, read_idempotency_key

DIGEST = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="


@pytest.mark.parametrize(
    ("content_type", "coding", "expected"),
    [
        ("application/x-ndjson", "", ("jsonl", None, False)),
        ('TEXT/CSV; header=present; Charset="utf-16"', "gzip", ("csv", "utf-16", True)),
        ("application/json;charset=utf-8", "identity", ("json", "utf-8", False)),
    ],
)
def test_types_and_codings(content_type: str, coding: str, expected: tuple[str, str | None, bool]) -> None:
    headers = {"Content-Type": content_type} | ({"Content-Encoding": coding} if coding else {})
    assert read_format(Headers(headers)) == expected


@pytest.mark.parametrize(
    "headers",
    [{}, {"Content-Type": "text/html"}, {"Content-Type": "text/csv", "Content-Encoding": "gzip, br"}],
)
def test_other_types_and_codings_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(Problem) as refused:
        read_format(Headers(headers))
    assert refused.value.code == "unsupported_media_type"


@pytest.mark.parametrize(
    ("given", "key"),
    [("a-b", "a-b"), ('"a-b"', "a-b"), (r'"a\"b\\"', 'a"b\\'), ("x" * 255, "x" * 255)],
)
def test_an_idempotency_key_may_be_quoted(given: str, key: str) -> None:
    assert read_idempotency_key(Headers({"Idempotency-Key": given})) == key


@pytest.mark.parametrize("given", ["", '""', "a b", "x" * 256, "ä", "a\tb"])
def test_other_idempotency_keys_are_refused(given: str) -> None:
    with pytest.raises(Problem) as refused:
        read_idempotency_key(Headers(raw=[(b"idempotency-key", given.encode())]))
    assert refused.value.code == "bad_idempotency_key"


def test_an_idempotency_key_is_given_once() -> None:
    assert read_idempotency_key(Headers({})) is None
    with pytest.raises(Problem, match="twice"):
        read_idempotency_key(Headers(raw=[(b"idempotency-key", b"a"), (b"idempotency-key", b"a")]))


def test_a_digest_is_read_among_others() -> None:
    expected = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    for value in (f"sha-256=:{DIGEST}:", f"sha-512=:AAAA:, sha-256=:{DIGEST}:"):
        assert read_content_digest(Headers({"Content-Digest": value})) == expected
    assert read_content_digest(Headers({"Content-Digest": "sha-512=:AAAA:"})) is None
    for value in ("sha-256=:AAAA:", "sha-256=x", "sha-256"):
        with pytest.raises(Problem, match="malformed"):
            read_content_digest(Headers({"Content-Digest": value}))


def test_a_body_is_compared_with_how_it_is_read() -> None:
    plain, keyed = BodyDigest("aa", {}), BodyDigest("aa", {"key_field": "a&b=?", "on_error": "skip"})
    assert [str(plain), BodyDigest.parse(str(plain)), BodyDigest.parse(str(keyed))] == ["aa", plain, keyed]
    assert plain.differences(keyed) == ["key_field", "on_error"]
    assert keyed.differences(BodyDigest("bb", keyed.reading)) == ["body"]
    assert plain.differences(plain) == []
