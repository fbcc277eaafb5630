"""Sources in object stores: `s3://`, `gs://` and `az://`. An object is read in ranges of one version of it."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import obstore
from obstore.exceptions import BaseError, PreconditionError

from pipeline.domain.backoff import Backoff
from pipeline.errors import InvalidInput, SourceChanged, SourceUnavailable
from pipeline.objects.open_store import open_store
from pipeline.objects.trouble import MISSING, describe
from pipeline.sources.format import is_known
from pipeline.sources.ranges import BLOCK_BYTES, RangeStream
from pipeline.sources.source_access import SourceAccess
from pipeline.sources.source_file import SourceFile
from pipeline.sources.stores.object_glob import has_magic, literal_prefix, matches
from pipeline.sources.url import SourceUrl

if TYPE_CHECKING:
    from obstore.store import ObjectStore

#: Times that a range is asked for before reading ends.
ATTEMPTS = 5
#: Pauses between them.
PAUSES = Backoff(base=timedelta(seconds=0.5), cap=timedelta(seconds=5))
#: Objects that are listed, at most: a prefix is a folder, not a bucket.
_MAX_LISTED = 100_000
_NAMES_SHOWN = 5

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Bucket:
    """An open bucket or container.

    Args:
        shown: its URL, as messages and names of files have it; ends in a slash.
        base: what all keys in it begin with, and `shown` stands for.
    """

    store: ObjectStore
    shown: str
    base: str = ""

    def name_of(self, key: str) -> str:
        return self.shown + key.removeprefix(self.base)


class ObjectFile(SourceFile):
    """One version of an object.

    Args:
        found: what the store says of it: its path, size, ETag and version.
    """

    def __init__(self, bucket: Bucket, found: Mapping[str, Any]) -> None:
        self._bucket = bucket
        self._key: str = found["path"]
        self._size: int = found["size"]
        self._tag: str | None = found["e_tag"]
        self._version: str | None = found["version"]

    @property
    def name(self) -> str:
        return self._bucket.name_of(self._key)

    @property
    def path_name(self) -> str:
        return self._key.rpartition("/")[2]

    @property
    def media_type(self) -> str | None:
        return None

    @property
    def can_seek(self) -> bool:
        return True

    def size(self) -> int | None:
        return self._size

    def fingerprint(self) -> str | None:
        if self._tag is None:
            return None
        return f"object:{self._size}:{self._tag}" + (f":{self._version}" if self._version else "")

    @contextmanager
    def open_stream(self, offset: int = 0) -> Iterator[io.BufferedReader]:
        raw: io.RawIOBase = RangeStream(self._read_range, self._size)
        stream: io.BufferedReader = io.BufferedReader(raw)
        with stream:
            stream.seek(offset)
            yield stream

    def open_random(self) -> Any:
        return self.open_stream()

    def _read_range(self, start: int, length: int) -> bytes:
        # Without a condition, the rest of a replaced object would follow the beginning of the one before.
        condition: dict[str, Any] = {} if self._tag is None else {"if_match": self._tag}
        options: dict[str, Any] = {"range": (start, start + length), **condition}

        def fetch() -> bytes:
            found = bytes(obstore.get(self._bucket.store, self._key, options=options).bytes())
            if len(found) != length:
                raise ConnectionError("the answer was cut off")
            return found

        try:
            return _persist(fetch, self.name, ATTEMPTS)
        except PreconditionError:
            raise SourceChanged(f"{self.name} was replaced while it was read; submit it again") from None
        except FileNotFoundError:
            raise InvalidInput(f"{self.name} has vanished since it was listed") from None


def find_files(url: SourceUrl, access: SourceAccess) -> list[SourceFile]:
    """Return the objects that a URL stands for: a key, a prefix that ends in a slash, or a glob.

    Raises:
        InvalidInput: there is none, or it may not be read.
        SourceUnavailable: the store does not answer, or refuses the credentials.
    """
    if not access.is_local_user:
        raise InvalidInput(f"{url.scheme}:// cannot be read for others; send the items instead")
    # Keys are taken as they are written: they may contain what has a meaning in URLs.
    place, _, key = url.text.partition("://")[2].partition("/")
    if not place:
        raise InvalidInput(f"name a bucket: {url.scheme}://BUCKET/KEY")
    store = open_store(url.scheme, place, {}, largest=BLOCK_BYTES, retries=0)
    return list_files(Bucket(store, f"{url.scheme}://{place}/"), key)


def list_files(bucket: Bucket, key: str) -> list[SourceFile]:
    """Return the objects of a bucket that a key, a prefix or a glob stands for; raise like `find_files`."""
    name = bucket.name_of(key)
    try:
        if key and not key.endswith("/"):
            exact = _persist(lambda: _head(bucket.store, key), name, ATTEMPTS)
            if exact is not None:
                return [ObjectFile(bucket, exact)]
            if not has_magic(key):
                raise InvalidInput(f"there is no object {name}; a prefix ends in a slash: {name}/")
            found = _persist(lambda: _list(bucket.store, literal_prefix(key), recursive=True), name, ATTEMPTS)
            chosen = [each for each in found if matches(each["path"], key)]
            if not chosen:
                raise InvalidInput(f"no object matches {name!r}")
        else:
            found = _persist(lambda: _list(bucket.store, key, recursive=False), name, ATTEMPTS)
            chosen = [each for each in found if _is_of_prefix(each["path"])]
            if not chosen:
                raise InvalidInput(f"{name} holds no object that can be read ({_examples(found)})")
    except FileNotFoundError:
        raise InvalidInput(f"{bucket.shown} does not exist") from None
    return [ObjectFile(bucket, each) for each in sorted(chosen, key=lambda each: str(each["path"]))]


def _is_of_prefix(key: str) -> bool:
    name = key.rpartition("/")[2]
    return is_known(name) and not name.startswith(".")


def _examples(found: list[Mapping[str, Any]]) -> str:
    names = [str(each["path"]).rpartition("/")[2] for each in found[:_NAMES_SHOWN]]
    return ", ".join(names) + (", …" if len(found) > _NAMES_SHOWN else "") or "it is empty"


def _head(store: ObjectStore, key: str) -> Mapping[str, Any] | None:
    try:
        found: Mapping[str, Any] = obstore.head(store, key)
    except FileNotFoundError as error:
        if describe(error).code not in MISSING:
            raise
        return None
    except BaseError:
        # An answer to HEAD has no body, and so no code.
        found = obstore.get(store, key).meta
    return found


def _list(store: ObjectStore, prefix: str, *, recursive: bool) -> list[Mapping[str, Any]]:
    if not recursive:
        found: list[Mapping[str, Any]] = list(obstore.list_with_delimiter(store, prefix or None)["objects"])
        return found
    listed: list[Mapping[str, Any]] = []
    for page in obstore.list(store, prefix=prefix or None):
        listed += page
        if len(listed) > _MAX_LISTED:
            raise InvalidInput(f"more than {_MAX_LISTED:,} objects begin with {prefix!r}; name a longer prefix")
    return listed


def _persist(ask: Callable[[], T], name: str, attempts: int) -> T:
    """Return an answer of the store, asked for again after failures that may pass.

    Raises:
        FileNotFoundError, PreconditionError: what the store says of the object.
        SourceUnavailable: it does not answer, or refuses the credentials.
    """
    for attempt in range(1, attempts + 1):
        try:
            return ask()
        except (FileNotFoundError, PreconditionError):
            raise
        except (BaseError, OSError) as error:
            trouble = describe(error)
            if not trouble.is_passing:
                raise SourceUnavailable(f"{name} {trouble.text}, and run the same command again") from None
            if attempt == attempts:
                raise SourceUnavailable(f"{name} {trouble.text}; run the same command again") from None
            time.sleep(PAUSES.delay_after(attempt).total_seconds())
    raise AssertionError("unreachable")
