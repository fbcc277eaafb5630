"""What a source may be called."""

from __future__ import annotations

import pytest

from pipeline.errors import InvalidInput
from pipeline.sources import url as urls
from pipeline.sources.url import Scheme, SchemeKind, SourceUrl, load_opener, parse_location


@pytest.mark.parametrize(
    "text",
    ["tickets.csv", "in/*.csv", "in/", "-", "C:\\data\\a.csv", "c://data/a.csv", "a b://c", "1a://b", "://x", "x:y"],
)
def test_paths_stay_paths(text):
    assert parse_location(text) == text


@pytest.mark.parametrize(
    ("text", "path"),
    [("file:///in/a.csv", "/in/a.csv"), ("FILE://localhost/in/a%20b.csv", "/in/a b.csv")],
)
def test_file_urls_are_paths(text, path):
    assert parse_location(text) == path


def test_urls_are_parsed_and_shown_without_their_query():
    found = parse_location("HTTPS://example.com:8443/in/a%20b.csv?X-Amz-Signature=secret#x")
    assert isinstance(found, SourceUrl)
    assert (found.scheme, found.parts.port, found.path) == ("https", 8443, "/in/a b.csv")
    assert found.shown == "https://example.com:8443/in/a%20b.csv?…"
    assert "secret" not in repr(found)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ftp://example.com/a.csv", "unknown scheme 'ftp'"),
        ("htps://example.com/a.csv", "did you mean 'https'"),
        ("https://example.com:port/a.csv", "cannot be read: Port could not be cast"),
        ("file://server/share/a.csv", "another machine"),
    ],
)
def test_what_cannot_be_opened_says_why(text, message):
    with pytest.raises(InvalidInput, match=message):
        parse_location(text)


@pytest.mark.parametrize(
    "text", ["https://me:hunter2@example.com/a.csv", "https://me@example.com/", "https://:hunter2@h/"]
)
def test_credentials_are_refused_and_not_repeated(text):
    with pytest.raises(InvalidInput, match="has a user name") as error:
        parse_location(text)
    assert "hunter2" not in str(error.value)
    assert "me@" not in str(error.value)


def test_a_missing_library_names_its_extra(monkeypatch, tmp_path):
    (tmp_path / "opens_s3.py").write_text("import obstoreless")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(urls.SCHEMES, "s3", Scheme(SchemeKind.FILES, "opens_s3", "obstoreless", "objects"))
    with pytest.raises(InvalidInput, match=r"s3:// needs obstoreless: pip install 'pipeline\[objects\]'"):
        load_opener(parse_location("s3://bucket/key"))


def test_an_error_in_an_opener_is_not_taken_for_a_missing_library(monkeypatch, tmp_path):
    (tmp_path / "opens_gs.py").write_text("import another_library")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(urls.SCHEMES, "gs", Scheme(SchemeKind.FILES, "opens_gs", "obstoreless", "objects"))
    with pytest.raises(ModuleNotFoundError, match="another_library"):
        load_opener(parse_location("gs://bucket/key"))
