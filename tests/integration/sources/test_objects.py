"""Sources in an object store: keys, prefixes and globs, read in ranges of one version, through cuts."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from datetime import timedelta

import obstore
import pyarrow
import pyarrow.parquet
import pytest
from obstore.store import ObjectStore as Store

from pipeline.connections.connection import NamedConnection
from pipeline.domain.backoff import Backoff
from pipeline.domain.payload import Record
from pipeline.errors import InvalidInput, NotFound, SourceChanged, SourceUnavailable
from pipeline.objects.open_store import open_store
from pipeline.sources import ranges
from pipeline.sources.open_source import open_source
from pipeline.sources.read_options import ReadOptions
from pipeline.sources.read_report import ReadReport
from pipeline.sources.source_access import SourceAccess
from tests.support.faulty_http import CuttingProxy, refusing
from tests.support.servers.object_store import BUCKET, ObjectStore

BLOCK = 1_000


@pytest.fixture
def place(object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty prefix, which this process may read."""
    for name, value in object_store.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("pipeline.sources.stores.objects.PAUSES", Backoff(cap=timedelta(0)))
    monkeypatch.setattr(ranges, "BLOCK_BYTES", BLOCK)
    return object_store.place()


@pytest.fixture
def store(place: str) -> Store:
    return open_store("s3", BUCKET, {}, largest=BLOCK)


@pytest.fixture
def proxy(object_store: ObjectStore) -> Iterator[CuttingProxy]:
    made = CuttingProxy(object_store.port)
    yield made
    made.close()


def put(store: Store, url: str, content: bytes) -> None:
    obstore.put(store, url.removeprefix(f"s3://{BUCKET}/"), content, use_multipart=False)


def lines(first: int, count: int = 3) -> bytes:
    return b"".join(b'{"body":"text %d"}\n' % number for number in range(first, first + count))


def read(*locations: str, options: ReadOptions | None = None) -> list[str]:
    source = open_source(locations, options or ReadOptions(), ReadReport())
    records = list(source.read())
    assert all(isinstance(each, Record) for each in records), records
    return [each.payload["body"] for each in records if isinstance(each, Record)]


def test_a_key_a_prefix_and_a_glob_name_objects(place: str, store: Store) -> None:
    put(store, f"{place}a.jsonl", lines(1))
    put(store, f"{place}b.jsonl.gz", gzip.compress(lines(4)))
    put(store, f"{place}deep/c.jsonl", lines(7))
    put(store, f"{place}.hidden.jsonl", lines(10))
    put(store, f"{place}logo.png", b"\x89PNG")
    texts = [f"text {number}" for number in range(1, 13)]
    assert read(f"{place}a.jsonl") == texts[:3]
    assert read(place) == texts[:6]
    assert read(f"{place}*.jsonl*") == texts[:6]
    assert read(f"{place}**/*.jsonl") == [*texts[:3], *texts[6:9]]
    assert read(f"{place}deep/c.jsonl", f"{place}a.jsonl") == [*texts[6:9], *texts[:3]]


def test_what_is_not_there_is_said(place: str, store: Store) -> None:
    put(store, f"{place}logo.png", b"\x89PNG")
    for location, message in {
        f"{place}none.jsonl": "there is no object",
        f"{place}*.csv": "no object matches",
        place: r"holds no object that can be read \(logo.png\)",
        f"{place}none/": "it is empty",
    }.items():
        with pytest.raises(InvalidInput, match=message):
            read(location)


def test_formats_that_are_read_in_any_order(place: str, store: Store) -> None:
    table = pyarrow.table({"body": [f"text {number}" for number in range(2_000)]})
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(table, sink, row_group_size=100)
    put(store, f"{place}a.parquet", sink.getvalue().to_pybytes())
    assert read(f"{place}a.parquet") == table["body"].to_pylist()


def test_an_object_that_is_replaced_while_it_is_read_ends_the_reading(place: str, store: Store) -> None:
    put(store, f"{place}a.jsonl", lines(1, 20_000))
    source = open_source([f"{place}a.jsonl"], ReadOptions(), ReadReport())
    records = source.read()
    next(records)
    put(store, f"{place}a.jsonl", lines(2, 20_000))
    with pytest.raises(SourceChanged, match="was replaced while it was read; submit it again"):
        list(records)


def test_reading_goes_on_where_it_was_and_the_fingerprint_tells_versions(place: str, store: Store) -> None:
    put(store, f"{place}a.jsonl", lines(1, 100))
    source = open_source([f"{place}a.jsonl"], ReadOptions(), ReadReport())
    records = [each for each in source.read() if isinstance(each, Record)]
    fingerprint = source.fingerprint()
    again = open_source([f"{place}a.jsonl"], ReadOptions(), ReadReport())
    assert again.fingerprint() == fingerprint is not None
    rest = [each.payload for each in again.read(records[59].after) if isinstance(each, Record)]
    assert rest == [each.payload for each in records[60:]]
    put(store, f"{place}a.jsonl", lines(2, 100))
    assert open_source([f"{place}a.jsonl"], ReadOptions(), ReadReport()).fingerprint() != fingerprint


def test_a_range_that_is_cut_is_asked_for_again(
    place: str, store: Store, proxy: CuttingProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, f"{place}a.jsonl", lines(1, 5_000))
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    source = open_source([f"{place}a.jsonl"], ReadOptions(), ReadReport())
    proxy.cuts, proxy.after = 4, 600
    assert len(list(source.read())) == 5_000
    assert proxy.cuts == 0
    source = open_source([f"{place}a.jsonl"], ReadOptions(), ReadReport())
    proxy.cuts, proxy.after = 5, 600
    with pytest.raises(SourceUnavailable, match="run the same command again"):
        list(source.read())


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (400, "ExpiredToken", r"refused the credentials \(ExpiredToken\); renew them, and run the same command again"),
        (403, "AccessDenied", r"refused the credentials \(AccessDenied\)"),
        (403, "", r"refused the credentials \((403|AccessDenied)\)"),
        (503, "SlowDown", "answered SlowDown; run the same command again"),
    ],
)
def test_refusals_are_said_and_can_be_resumed(
    place: str, monkeypatch: pytest.MonkeyPatch, status: int, code: str, message: str
) -> None:
    with refusing(status, code) as url, monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", url)
        with pytest.raises(SourceUnavailable, match=message):
            read(f"{place}*.jsonl")
        patch.setattr("pipeline.sources.stores.objects._head", lambda *_: None)
        with pytest.raises(SourceUnavailable, match=message):
            read(f"{place}*.jsonl")


def test_a_connection_names_a_prefix_and_its_secrets_stay_inside(
    object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = object_store.place()
    connection = NamedConnection("lake", place.removesuffix("/"), options=object_store.options)
    put(open_store("s3", BUCKET, object_store.options, largest=BLOCK), f"{place}in/a.jsonl", lines(1))

    def find(name: str) -> NamedConnection:
        if name != "lake":
            raise NotFound(name)
        return connection

    options = ReadOptions(access=SourceAccess(find_connection=find))
    assert read("conn://lake/in/", options=options) == read("conn://lake/in/*.jsonl", options=options)
    source = open_source(["conn://lake/in/a.jsonl"], options, ReadReport())
    assert source.name == "conn://lake/in/a.jsonl"
    with pytest.raises(InvalidInput, match="there is no object conn://lake/none.csv"):
        read("conn://lake/none.csv", options=options)
    with pytest.raises(NotFound):
        read("conn://none/a.jsonl", options=options)


def test_others_than_the_user_of_this_machine_read_nothing(place: str) -> None:
    access = SourceAccess(is_local_user=False)
    with pytest.raises(InvalidInput, match="cannot be read for others"):
        read(f"{place}a.jsonl", options=ReadOptions(access=access))
