"""Files behind https: read in ranges, gone on with after faults, and not behind the caller's walls."""

from __future__ import annotations

import gzip
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pipeline.domain.ip_ranges import IPv4Network
from pipeline.errors import InvalidInput, SourceChanged, SourceUnavailable
from pipeline.sources import ReadOptions, ReadReport, open_source
from pipeline.sources.source_access import SourceAccess
from pipeline.sources.web import https as https_source
from tests.support.receivers.authority import Authority

CSV = b"id,text\n" + b"".join(b"%d,text number %d\n" % (n, n) for n in range(2_000))


class Server(ThreadingHTTPServer):
    """Serves `content` as the attributes say."""

    daemon_threads = True

    def __init__(self, tls) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.socket = tls.wrap_socket(self.socket, server_side=True)
        self.content = CSV
        self.etag = '"1"'
        self.has_ranges = True
        self.headers = {}
        self.status = None
        #: Requests to cut after some bytes of the body, and answers to give before the usual one.
        self.cuts = 0
        self.failures = []
        self.redirects = {}
        self.seen = []

    def handle_error(self, request, client_address) -> None:
        return

    @property
    def url(self):
        return f"https://localhost:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server = self.server
        server.seen.append(dict(self.headers.items()))
        if self.path in server.redirects:
            return self.answer(302, b"", {"Location": server.redirects[self.path]})
        if server.status is not None:
            return self.answer(server.status, b"no", {})
        if server.failures:
            return self.answer(server.failures.pop(0), b"", {})
        match = self.headers.get("If-Match")
        if match is not None and match != server.etag:
            return self.answer(412, b"", {})
        asked = self.headers.get("Range")
        named = {**({"ETag": server.etag} if server.etag else {}), **server.headers}
        if asked is None or not server.has_ranges:
            return self.answer(200, server.content, named)
        start, end = map(int, asked.removeprefix("bytes=").split("-"))
        part = server.content[start : end + 1]
        place = f"bytes {start}-{start + len(part) - 1}/{len(server.content)}"
        return self.answer(206, part, {**named, "Content-Range": place})

    def answer(self, status, content, headers) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.server.cuts and len(content) > 1:
            self.server.cuts -= 1
            self.wfile.write(content[: len(content) // 2])
            self.close_connection = True
        else:
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def server(authority, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    monkeypatch.setattr(https_source, "_FIRST_PAUSE", 0.001)
    # Several ranges of a small file.
    monkeypatch.setattr(https_source, "BLOCK_BYTES", 10_000)
    with Server(authority.context("localhost")) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def opened(url, **options):
    return open_source([url], ReadOptions(**options), ReadReport())


def test_a_file_is_read_in_ranges_of_one_version(server):
    source = opened(f"{server.url}/in/a.csv?signature=secret")
    items = list(source.read())
    assert [item.payload["id"] for item in items] == [str(n) for n in range(2_000)]
    assert source.name == f"{server.url}/in/a.csv?…"
    assert source.progress() == (len(CSV), len(CSV))
    assert [each.get("If-Match") for each in server.seen[1:]] == ['"1"'] * (len(server.seen) - 1)
    assert len(server.seen) > 3
    assert not any("secret" in str(value) for value in (source.describe(), source.fingerprint()))


def test_reading_goes_on_after_a_record(server):
    source = opened(f"{server.url}/a.csv")
    whole = list(source.read())
    again = opened(f"{server.url}/a.csv")
    assert again.fingerprint() == source.fingerprint()
    assert list(again.read(whole[1_500].after)) == whole[1_501:]


def test_a_connection_that_is_cut_is_tried_again(server):
    source = opened(f"{server.url}/a.csv")
    assert source.fingerprint() is not None
    server.cuts, server.failures = 3, [503]
    assert len(list(source.read())) == 2_000


def test_a_server_that_stays_away_is_unavailable(server):
    source = opened(f"{server.url}/a.csv")
    assert source.fingerprint() is not None
    server.failures = [503] * 50
    with pytest.raises(SourceUnavailable, match=r"a\.csv cannot be read on at byte 0; run the same command again"):
        list(source.read())


def test_a_file_that_is_replaced_while_it_is_read_is_refused(server, monkeypatch):
    # More than is read ahead.
    server.content = b"id,text\n" + CSV * 30
    monkeypatch.setattr(https_source, "BLOCK_BYTES", 200_000)
    items = opened(f"{server.url}/a.csv").read()
    next(items)
    server.etag = '"2"'
    with pytest.raises(SourceChanged, match="was replaced while it was read; submit it again"):
        list(items)


def test_without_ranges_a_file_is_read_once_and_a_cut_is_no_end(server):
    server.has_ranges = False
    source = opened(f"{server.url}/a.csv")
    assert source.fingerprint() is None
    assert len(list(source.read())) == 2_000
    server.cuts = 2
    with pytest.raises(SourceUnavailable, match="the connection was lost, .*; submit it again"):
        list(opened(f"{server.url}/a.csv").read())


@pytest.mark.parametrize("path", ["/a.csv", "/a"])
def test_compressed_content_is_decompressed(server, path):
    server.content, server.headers = gzip.compress(CSV), {"Content-Encoding": "gzip", "Content-Type": "text/csv"}
    assert len(list(opened(server.url + path).read())) == 2_000


def test_the_content_type_decides_where_the_name_does_not(server):
    server.content, server.headers = b"id\n1\n", {"Content-Type": "text/csv; charset=utf-8"}
    assert next(opened(f"{server.url}/export").read()).payload == {"id": "1"}
    server.content, server.headers = b'{"id": 1}\n', {"Content-Type": "application/octet-stream"}
    assert next(opened(f"{server.url}/export").read()).payload == {"id": 1}


@pytest.mark.parametrize(
    ("status", "error", "message"),
    [
        (404, InvalidInput, "the server answered 404 Not Found"),
        (403, InvalidInput, "needs a login: the server answered 403"),
        (503, SourceUnavailable, "the server answered 503 Service Unavailable; try again later"),
    ],
)
def test_an_answer_without_content_says_what_to_do(server, status, error, message):
    server.status = status
    with pytest.raises(error, match=message):
        list(opened(f"{server.url}/a.csv").read())


def test_redirects_are_followed_but_not_for_ever_or_to_other_schemes(server):
    server.redirects = {
        "/a": "/b",
        "/b": f"{server.url}/c",
        "/c": "/d.csv",
        "/loop": "/loop",
        "/plain": "http://localhost/",
    }
    assert len(list(opened(f"{server.url}/a").read())) == 2_000
    with pytest.raises(InvalidInput, match="more than 3 redirects"):
        list(opened(f"{server.url}/loop").read())
    with pytest.raises(InvalidInput, match="leads to http://localhost, which is not read"):
        list(opened(f"{server.url}/plain").read())


def test_on_behalf_of_others_private_addresses_are_not_reached(server):
    def read(allow):
        return list(opened(f"{server.url}/a.csv", access=SourceAccess(is_local_user=False, allow=allow)).read())

    with pytest.raises(InvalidInput, match="leads to an address that may not be reached"):
        read(())
    assert server.seen == []
    assert len(read((IPv4Network("127.0.0.0/8"),))) == 2_000


def test_an_unknown_certificate_is_refused(server, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(InvalidInput, match="the server's certificate is not valid"):
        list(opened(f"{server.url}/a.csv").read())


def test_a_server_that_is_not_there_is_unavailable():
    with pytest.raises(SourceUnavailable, match="cannot be reached"):
        list(opened("https://localhost:1/a.csv").read())
