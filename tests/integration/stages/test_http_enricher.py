"""The HTTP enricher against a loopback server that responds as a failing or misbehaving service does."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from pipeline.domain.outcome import Failure
from pipeline.errors import InvalidDefinition, Permanent, Throttled, Transient
from pipeline.stages.catalog.step import Mode
from pipeline.stages.enrichers.http import Spec, build, files
from pipeline.stages.run.validate_answer import validate_enrichment
from tests.support.http_service import Request, enrich, item, response

COMPANY = {"data": {"company": {"name": "Acme"}, "people": [{"email": "a@b.c"}, {"email": "d@e.f"}]}}


def test_a_json_object_is_the_answer() -> None:
    answers, service = enrich(response(COMPANY))
    assert answers == [COMPANY]
    assert service.requests[0].line == "GET /companies/acme.com HTTP/1.1"
    assert service.requests[0].headers["accept"] == "application/json"


def test_fields_are_selected_from_the_response_and_null_if_absent() -> None:
    paths = {
        "name": "data.company.name",
        "second": "data.people[1].email",
        "third": "data.people[2].email",
        "no": "x.y",
    }
    answers, _ = enrich(response(COMPANY), fields=paths)
    assert answers == [{"name": "Acme", "second": "d@e.f", "third": None, "no": None}]


def test_fields_are_selected_from_a_list() -> None:
    answers, _ = enrich(response([{"name": "Acme"}]), fields={"name": "[0].name"})
    assert answers == [{"name": "Acme"}]


def test_values_in_the_url_are_percent_encoded() -> None:
    path = "/a/{name}/{inner.id}/{label}/{key}?q={name}&ok={ok}&{{x}}"
    _, service = enrich(response({}), item(name="Ä/b?c#d&e ../%2e", inner={"id": 7}, ok=True), path=path)
    name = "%C3%84%2Fb%3Fc%23d%26e%20..%2F%252e"
    assert service.requests[0].line == f"GET /a/{name}/7/sales/K%2F1?q={name}&ok=true&{{x}} HTTP/1.1"


@pytest.mark.parametrize("payload", [{}, {"domain": None}, {"domain": ""}, {"domain": ["a"]}, {"domain": ".."}])
def test_an_item_that_makes_no_valid_url_is_dead_and_no_request_is_sent(payload: dict[str, Any]) -> None:
    answers, service = enrich(response({}), item(**payload))
    assert isinstance(answers[0], Permanent)
    assert "'domain'" in str(answers[0])
    assert service.requests == []


def test_an_item_with_a_value_too_long_for_a_url_is_dead() -> None:
    answers, _ = enrich(response({}), item(domain="x" * 100_000))
    assert isinstance(answers[0], Permanent)
    assert "too long" in str(answers[0])


def test_headers_read_secrets_from_the_environment() -> None:
    headers = {"Authorization": "Bearer ${CRM_TOKEN}", "X-Price": "$5"}
    _, service = enrich(response({}), headers=headers, environ={"CRM_TOKEN": "s3cret\n"})
    assert service.requests[0].headers["authorization"] == "Bearer s3cret"
    assert service.requests[0].headers["x-price"] == "$5"


def test_a_configured_header_replaces_the_default_in_any_case() -> None:
    headers = {"accept": "application/ld+json", "content-type": "application/x-json"}
    _, service = enrich(response({}), headers=headers, method="POST", path="/")
    assert service.requests[0].head.lower().count("accept:") == 1
    assert service.requests[0].headers["accept"] == "application/ld+json"
    assert service.requests[0].headers["content-type"] == "application/x-json"


@pytest.mark.parametrize(
    ("environ", "message"),
    [({}, "'Authorization'.*CRM_TOKEN is not set"), ({"CRM_TOKEN": "s3cret\nX: y"}, "'Authorization'.*cannot be sent")],
)
def test_the_error_for_an_invalid_header_does_not_show_its_value(environ: dict[str, str], message: str) -> None:
    spec = Spec(use="http", url="http://crm/", headers={"Authorization": "Bearer ${CRM_TOKEN}"})
    with pytest.raises(InvalidDefinition, match=message) as caught:
        build(spec, Path(), environ)
    assert "s3cret" not in str(caught.value)


def test_post_sends_the_payload() -> None:
    _, service = enrich(response({}), item(domain="acme.com", n=1), method="POST", path="/find")
    request = service.requests[0]
    assert request.line == "POST /find HTTP/1.1"
    assert request.headers["content-type"] == "application/json"
    assert orjson.loads(request.body) == {"domain": "acme.com", "n": 1}


def test_post_sends_the_selected_fields() -> None:
    _, service = enrich(
        response({}), item(a={"b": 1}), method="POST", path="/", body={"x": "a.b", "l": "label", "n": "none"}
    )
    assert orjson.loads(service.requests[0].body) == {"x": 1, "l": "sales", "n": None}


@pytest.mark.parametrize("status", [404, 410, 204])
def test_not_found_sets_fields_to_null_or_makes_the_item_dead(status: int) -> None:
    not_found = response(b"", status) if status != 204 else b"HTTP/1.1 204 No Content\r\n\r\n"
    assert enrich(not_found)[0] == [{}]
    assert enrich(not_found, fields={"name": "a.b"})[0] == [{"name": None}]
    (dead,) = enrich(not_found, not_found="dead")[0]
    assert isinstance(dead, Permanent)
    assert f"answered {status}" in str(dead)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, Permanent),
        (307, Permanent),
        (400, Permanent),
        (401, Permanent),
        (422, Permanent),
        (408, Transient),
        (425, Transient),
        (429, Throttled),
        (500, Transient),
        (502, Transient),
        (503, Transient),
    ],
)
def test_the_status_determines_the_kind_of_failure(status: int, kind: type[Exception]) -> None:
    (failure,) = enrich(response({"secret": "x"}, status, location="http://127.0.0.1:1/"))[0]
    assert type(failure) is kind
    assert f"answered {status}" in str(failure)
    assert "acme" not in str(failure)
    assert "127.0.0.1" in str(failure)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7.0), ("0", 0.0), ("1.5", 2.0), ("99999999999999999999", 86_400.0), ("1" * 400, 86_400.0)],
)
def test_retry_after_in_seconds_is_honored_up_to_a_day(status: int, value: str, seconds: float) -> None:
    (failure,) = enrich(response({}, status, retry_after=value))[0]
    assert isinstance(failure, Throttled)
    assert failure.retry_after == seconds


def test_retry_after_as_a_date_is_honored() -> None:
    at = datetime.now(UTC) + timedelta(hours=1)
    (failure,) = enrich(response({}, 503, retry_after=format_datetime(at, usegmt=True)))[0]
    assert isinstance(failure, Throttled)
    assert failure.retry_after is not None
    assert 3_000 < failure.retry_after <= 3_600
    (past,) = enrich(response({}, 429, retry_after="Wed, 21 Oct 2015 07:28:00 GMT"))[0]
    assert past.retry_after == 0.0


@pytest.mark.parametrize("value", ["soon", "-5", "", "Wed, 99 Oct 2015 07:28:00 GMT", "٣"])
def test_an_unreadable_retry_after_is_ignored(value: str) -> None:
    content = response({}, 429).replace(b"\r\n\r\n", b"\r\nretry-after: " + value.encode() + b"\r\n\r\n")
    (failure,) = enrich(content)[0]
    assert isinstance(failure, Throttled)
    assert failure.retry_after is None


@pytest.mark.parametrize("content", [b"<html>maintenance</html>", b"", b'{"a": ', b"\xff"])
def test_a_response_that_is_not_json_is_a_transient_failure(content: bytes) -> None:
    (failure,) = enrich(response(content))[0]
    assert isinstance(failure, Transient)
    assert "not JSON" in str(failure)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32-le"])
def test_json_is_read_in_every_encoding_of_unicode(encoding: str) -> None:
    assert enrich(response('{"name": "Müller 株"}'.encode(encoding)))[0] == [{"name": "Müller 株"}]


def test_another_encoding_is_read_if_the_response_declares_it() -> None:
    content = '{"name": "Müller"}'.encode("latin-1")
    declared = enrich(response(content, content_type="application/json; charset=ISO-8859-1"))[0]
    assert declared == [{"name": "Müller"}]
    for content_type in ("application/json", "application/json; charset=klingon", "application/json; charset=hex"):
        assert isinstance(enrich(response(content, content_type=content_type))[0][0], Transient)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": -Infinity}', "-Infinity is not JSON"),
        (b'{"a": 1e400}', "1e400 is too large"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "'c' appears twice"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "5,000 digits"),
        (b'{"a": ' + b"[" * 100_000, "nested too deep"),
    ],
)
def test_json_that_would_be_read_as_something_else_is_a_permanent_failure(content: bytes, reason: str) -> None:
    (failure,) = enrich(response(content))[0]
    assert isinstance(failure, Permanent)
    assert reason in str(failure)


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 2**53 + 1, 10**30])
def test_an_integer_never_becomes_another_number(number: int) -> None:
    assert enrich(response(f'{{"id": {number}}}'.encode()))[0] == [{"id": number}]
    # A stored answer holds 64 bits; a field that was not asked for does not matter.
    kept = validate_enrichment({"id": number})
    assert kept == {"id": number} if abs(number) < 2**63 else isinstance(kept, Failure)
    assert enrich(response(f'{{"id": {number}, "a": 1}}'.encode()), fields={"a": "a"})[0] == [{"a": 1}]


def test_what_the_service_answered_is_kept_without_the_secrets_of_the_request() -> None:
    options = {"headers": {"Authorization": "Bearer ${TOKEN}"}, "environ": {"TOKEN": "s3cr/et"}}
    (failure,) = enrich(response({"error": "unknown token s3cr/et", "id": 7}, 401), **options)[0]
    assert isinstance(failure, Permanent)
    assert failure.answer == '{"error":"unknown token [redacted]","id":7}'
    assert "s3cr" not in str(failure)
    (failure,) = enrich(response(b"not for k3yk3y", 403), path="/?key=k3yk3y")[0]
    assert failure.answer == "not for [redacted]"


@pytest.mark.parametrize("status", [500, 429, 404, 200])
def test_the_answer_is_kept_for_every_kind_of_failure(status: int) -> None:
    (failure,) = enrich(response(b"<h1>sorry</h1>", status), not_found="dead")[0]
    assert failure.answer == "<h1>sorry</h1>"


def test_the_beginning_of_an_answer_that_is_too_long_is_kept() -> None:
    (failure,) = enrich(response(b"x" * 10_000), max_bytes=5_000)[0]
    assert failure.answer == "x" * 4_096


@pytest.mark.parametrize("content", [[1], "text", 5, None])
def test_a_response_that_is_not_an_object_needs_fields(content: object) -> None:
    (failure,) = enrich(response(content))[0]
    assert isinstance(failure, Permanent)
    assert "`fields`" in str(failure)


def test_a_response_at_the_limit_is_read_and_a_longer_one_is_a_permanent_failure() -> None:
    content = orjson.dumps({"a": "x" * 50})
    assert enrich(response(content), max_bytes=len(content))[0] == [{"a": "x" * 50}]
    (failure,) = enrich(response(content), max_bytes=len(content) - 1)[0]
    assert isinstance(failure, Permanent)
    assert "`max_bytes`" in str(failure)


def test_an_endless_response_is_cut_off_while_it_streams() -> None:
    written = 0

    async def endless(request: Request, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")
            written += 0x1000
            await writer.drain()

    (failure,) = enrich(endless, max_bytes=100_000)[0]
    assert isinstance(failure, Permanent)
    assert written >= 100_000


def test_an_unrequested_compressed_response_is_rejected() -> None:
    answers, service = enrich(response(b"\x1f\x8b", content_encoding="gzip"))
    assert isinstance(answers[0], Permanent)
    assert "compressed" in str(answers[0])
    assert service.requests[0].headers["accept-encoding"] == "identity"


def test_the_step_is_async_with_one_item_per_call_and_bounded_concurrency() -> None:
    step = build(Spec(use="http", url="http://crm/", name="crm", max_concurrency=5, timeout_seconds=3), Path())
    assert (step.name, step.mode, step.is_batched) == ("crm", Mode.ASYNC, False)
    assert (step.max_concurrency, step.timeout_seconds) == (5, 3)


def test_no_file_is_pinned() -> None:
    assert files(Spec(use="http", url="http://crm/")) == ()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": "crm/{domain}"}, "must begin like"),
        ({"url": "ftp://crm/"}, "must begin like"),
        ({"url": "https://{host}/x"}, "must begin like"),
        ({"url": "https://crm.{tenant}/x"}, "between its host and its first field"),
        ({"url": "https://crm{path}"}, "between its host and its first field"),
        ({"url": "https://user:s3cret@crm/"}, "credentials"),
        ({"url": "https://crm/{"}, "unpaired brace"),
        ({"url": "https://crm/{}"}, "empty part"),
        ({"url": "https://crm/{a!r}"}, "'!' or ':'"),
        ({"url": "https://crm/{a:>5}"}, "'!' or ':'"),
        ({"method": "DELETE"}, "'GET' or 'POST'"),
        ({"body": {"a": "b"}}, 'only be sent with method = "POST"'),
        ({"fields": {"a": "b[c]"}}, "brackets"),
        ({"fields": {"a": ""}}, "empty part"),
        ({"headers": {"Host": "x"}}, "'Host' cannot be set"),
        ({"headers": {"X Y": "x"}}, "'X Y' cannot be set"),
        ({"max_bytes": 0}, "max_bytes"),
        ({"proxy": "x"}, "proxy"),
    ],
)
def test_an_invalid_option_is_rejected(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message) as caught:
        Spec.model_validate({"use": "http", "url": "https://crm/{domain}", **options})
    assert "s3cret" not in str(caught.value)
