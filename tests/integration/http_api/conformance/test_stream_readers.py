"""Server-sent events and WebSockets read by others' readers, some of them through a connection that breaks."""

from __future__ import annotations

import re  # noqa: TID251 - our own pattern, a constant
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.chromium import chromium
from tests.support.cutting_proxy import Relay
from tests.support.event_logs import WrittenBatch, write_batch
from tests.support.factories import connect
from tests.support.gateway import HANG_SECONDS, ServedApi, serving
from tests.support.lazy import Lazy
from tests.support.npm import node, npm_folder

pytestmark = [pytest.mark.slow, pytest.mark.conformance, pytest.mark.xdist_group("stream-readers")]

httpx_sse = Lazy("httpx_sse")

ITEMS = 60
#: What every reader of the whole log gets: the items, the completion of the batch, and the end of the stream.
WHOLE = [*range(1, ITEMS + 2), "end"]
#: In the middle of an event.
CUT_BYTES = 20_000

FOLLOW_IN_PAGE = """
const [path, done] = [arguments[0], arguments[1]];
const source = new EventSource(path), seen = [];
for (const type of ["item.completed", "batch.completed", "end"])
  source.addEventListener(type, event => seen.push(type === "end" ? "end" : Number(event.lastEventId)));
source.onerror = () => { if (source.readyState === EventSource.CLOSED) done(seen); };
"""
CONVERSE_IN_PAGE = """
const [path, batch, done] = [arguments[0], arguments[1], arguments[2]];
const socket = new WebSocket(location.origin.replace("http", "ws") + path, "pipeline.v1"), seen = [];
socket.onopen = () => socket.send(JSON.stringify({op: "subscribe", batch, credit: 10}));
socket.onmessage = event => {
  const message = JSON.parse(event.data);
  if (message.op === "event" && seen.push(message.seq) % 10 === 0)
    socket.send(JSON.stringify({op: "credit", batch, n: 10}));
  if (message.op === "end") socket.close(1000);
};
socket.onclose = event => done([seen, event.code]);
"""


@pytest.fixture(scope="module")
def api(folder: Path) -> Iterator[ServedApi]:
    with connect(folder) as client, serving(client, works=False) as served:
        yield served


@pytest.fixture(scope="module")
def key(api: ServedApi) -> str:
    return api.key()["Authorization"]


@pytest.fixture(scope="module")
def batch(api: ServedApi, folder: Path) -> WrittenBatch:
    written = write_batch(api.context, folder, ITEMS)
    written.finish(ITEMS)
    return written


def resumed_at(relay: Relay) -> int:
    """Return the position that the second connection sent."""
    (found,) = re.findall(r"last-event-id: (\d+)", relay.heads[1].lower())
    return int(found)


def test_httpx_sse_resumes_where_it_was_cut(api: ServedApi, key: str, batch: WrittenBatch) -> None:
    seen: list[Any] = []
    with (
        Relay(api.url, [CUT_BYTES]) as relay,
        httpx.Client(base_url=relay.url, timeout=HANG_SECONDS, trust_env=False, headers={"Authorization": key}) as http,
    ):
        for _ in range(2):
            headers = {"Last-Event-ID": str(seen[-1])} if seen else {}
            try:
                with httpx_sse.connect_sse(http, "GET", f"/v1/batches/{batch.id}/events", headers=headers) as source:
                    for event in source.iter_sse():
                        if event.event != "message":
                            seen.append("end" if event.event == "end" else int(event.id))
            except httpx.RemoteProtocolError:
                assert seen
        assert resumed_at(relay) > 1
        again = http.get(
            f"/v1/batches/{batch.id}/events", headers={"Accept": "text/event-stream", "Last-Event-ID": str(ITEMS + 1)}
        )
    assert seen == WHOLE
    assert again.status_code == 204


def test_the_eventsource_of_npm_resumes_and_stops(api: ServedApi, key: str, batch: WrittenBatch) -> None:
    folder = npm_folder()
    with Relay(api.url, [CUT_BYTES]) as relay:
        assert node(folder, "follow_events.mjs", f"{relay.url}/v1/batches/{batch.id}/events", key) == WHOLE
        assert 1 < resumed_at(relay) < ITEMS


def test_chromium_reads_both(api: ServedApi, key: str, batch: WrittenBatch, tmp_path: Path) -> None:
    made = api.http.post("/v1/stream-tokens", headers={"Authorization": key}, json={"batch": batch.id})
    token = made.json()["token"]
    with chromium(tmp_path) as browser, Relay(api.url, []) as relay:
        browser.set_script_timeout(HANG_SECONDS)
        browser.get(f"{relay.url}/version")
        relay.cut_next(CUT_BYTES)
        path = f"/v1/batches/{batch.id}/events?token={token}"
        assert browser.execute_async_script(FOLLOW_IN_PAGE, path) == WHOLE
        heads = [head for head in relay.heads if "/events?" in head]
        assert len(heads) >= 2
        found = browser.execute_async_script(CONVERSE_IN_PAGE, f"/v1/ws?token={token}", batch.id)
    assert found == [WHOLE[:-1], 1000]


def test_the_websocket_of_npm_fragments_pings_and_is_closed(api: ServedApi, key: str, batch: WrittenBatch) -> None:
    url = api.url.replace("http", "ws") + "/v1/ws"
    found = node(npm_folder(), "converse.mjs", url, key, batch.id)
    # Its last message was too large.
    assert found == {"seen": WHOLE[:-1], "pong": "still there?", "code": 1009}


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
class TestCurl:
    """curl uploads, downloads, and tells a short download from a whole one."""

    def curl(self, *words: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        command = ["curl", "--silent", "--show-error", "--noproxy", "*", *words]
        return subprocess.run(command, input=given, capture_output=True, timeout=HANG_SECONDS, check=False)

    def test_a_download_that_is_cut_off_is_an_error(self, api: ServedApi, key: str, batch: WrittenBatch) -> None:
        path, header = f"/v1/batches/{batch.id}/results?format=ndjson", ("-H", f"Authorization: {key}")
        with Relay(api.url, [5_000]) as relay:
            assert self.curl(relay.url + path, *header).returncode == 18
        whole = self.curl(api.url + path, *header, "--limit-rate", "50K")
        packed = self.curl(api.url + path, *header, "--compressed")
        raw = self.curl(api.url + path, *header, "-H", "Accept-Encoding: gzip")
        assert whole.stdout.count(b"\n") == ITEMS
        assert packed.stdout == whole.stdout
        assert raw.stdout.startswith(b"\x1f\x8b")
        assert len(raw.stdout) < len(whole.stdout) / 3

    def test_an_upload_from_a_pipe_is_taken(self, api: ServedApi, key: str) -> None:
        definition = {"classify": {"use": "keywords", "default": "a", "rules": [{"label": "b", "any": ["c"]}]}}
        headers = {"Authorization": key}
        assert api.http.put("/v1/definitions/piped", json=definition, headers=headers).status_code == 201
        url = f"{api.url}/v1/batches?definition=piped"
        typed = ("-H", "Content-Type: application/x-ndjson")
        lines = b'{"text": "one"}\n' * 20_000
        for options in ((), ("-H", "Expect: 100-continue"), ("--limit-rate", "2M")):
            done = self.curl("-T", "-", "-X", "POST", url, *typed, "-H", f"Authorization: {key}", *options, given=lines)
            assert b'"total":20000' in done.stdout, done
        refused = self.curl(
            "-T", "-", "-X", "POST", url, *typed, "-H", "Authorization: Bearer pipe_wrong", "-H",
            "Expect: 100-continue", "--verbose", given=lines,
        )  # fmt: skip
        assert b"bad_key" in refused.stdout
        assert b"< HTTP/1.1 100" not in refused.stderr
