"""Which requests a server takes that asks for no key."""

from __future__ import annotations

import pytest

from pipeline.http_api.browser_guard import judge_allowed, judge_local
from pipeline.http_api.problems import Problem


def code(problem: Problem | None) -> str | None:
    return None if problem is None else problem.code


@pytest.mark.parametrize(
    ("host", "port", "expected"),
    [
        ("localhost:8787", 8787, None),
        ("LOCALHOST:8787", 8787, None),
        ("127.0.0.1:8787", 8787, None),
        ("[::1]:8787", 8787, None),
        ("localhost", 80, None),
        ("[::1]", 80, None),
        ("localhost", None, None),
        ("localhost:1", None, None),
        ("localhost", 8787, "wrong_host"),
        ("localhost:80", 8787, "wrong_host"),
        ("localhost:٨٧٨٧", 8787, "wrong_host"),
        ("127.0.0.2:8787", 8787, "wrong_host"),
        ("evil.example:8787", 8787, "wrong_host"),
        ("localhost.evil.example:8787", 8787, "wrong_host"),
        ("evil.example", None, "wrong_host"),
        ("", 8787, "wrong_host"),
        (":8787", 8787, "wrong_host"),
    ],
)
def test_without_a_key_a_server_is_known_by_local_names_only(host: str, port: int | None, expected: str | None) -> None:
    assert code(judge_local({"host": host}, "http", port)) == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"origin": "http://localhost:8787"}, None),
        ({"origin": "http://localhost:8787", "sec-fetch-site": "same-origin"}, None),
        ({"sec-fetch-site": "none"}, None),
        ({"sec-fetch-site": "same-site"}, None),
        ({"origin": "null"}, "cross_site"),
        ({"origin": ""}, "cross_site"),
        ({"origin": "https://localhost:8787"}, "cross_site"),
        ({"origin": "http://localhost:3000"}, "cross_site"),
        ({"origin": "http://127.0.0.1:8787"}, "cross_site"),
        ({"origin": "https://evil.example"}, "cross_site"),
        ({"sec-fetch-site": "cross-site"}, "cross_site"),
        ({"origin": "http://localhost:8787", "sec-fetch-site": "cross-site"}, "cross_site"),
    ],
)
def test_without_a_key_pages_of_other_sites_are_refused(headers: dict[str, str], expected: str | None) -> None:
    assert code(judge_local({"host": "localhost:8787", **headers}, "http", 8787)) == expected


@pytest.mark.parametrize(
    ("host", "allowed", "expected"),
    [
        ("anything.example", (), None),
        ("api.example.com:8443", ("api.example.com",), None),
        ("API.example.com", ("api.example.com",), None),
        ("evil.example", ("api.example.com",), "wrong_host"),
        ("", ("api.example.com",), "wrong_host"),
    ],
)
def test_names_may_be_listed(host: str, allowed: tuple[str, ...], expected: str | None) -> None:
    assert code(judge_allowed({"host": host}, "https", allowed)) == expected
