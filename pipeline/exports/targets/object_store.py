"""Exports to an object store: each part is one conditional put of a complete file, so nothing is ever half there."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

from pipeline.errors import TargetConflict, TargetUnavailable
from pipeline.exports.targets.part_store import StoredFile
from pipeline.objects.trouble import describe

if TYPE_CHECKING:
    from obstore.store import ObjectStore

#: Metadata of a part: SHA-256 of the events whose results it holds, and of its own bytes.
ROWS, CONTENT = "pipeline-rows", "pipeline-sha256"
_CONTENT_TYPES = {
    "json": "application/json",
    "gz": "application/gzip",
    "jsonl": "application/x-ndjson",
    "csv": "text/csv",
    "parquet": "application/vnd.apache.parquet",
}


class ObjectFolder:
    """The objects below a prefix.

    Args:
        store: the bucket.
        prefix: ends in a slash.
        shown: the URL of the prefix, for messages and manifests.
    """

    def __init__(self, store: ObjectStore, prefix: str, shown: str) -> None:
        self._store = store
        self._prefix = prefix
        self._shown = shown

    @contextmanager
    def stage(self, name: str) -> Iterator[BinaryIO]:
        # The system deletes it when it is closed, even if the process is killed.
        with tempfile.TemporaryFile() as file:
            yield cast(BinaryIO, file)

    def publish(self, name: str, staged: BinaryIO, content: str) -> StoredFile:
        try:
            return self._store_part(name, staged, content, mode="create")
        except AlreadyExistsError:
            return self._compare(name, content)

    def restore(self, name: str, staged: BinaryIO, content: str) -> StoredFile:
        return self._store_part(name, staged, content, mode="overwrite")

    def create(self, name: str, content: bytes) -> bytes | None:
        try:
            self._put(name, content, mode="create", attributes={"Content-Type": _content_type(name)})
        except AlreadyExistsError:
            return b"".join(self.read(name))
        return None

    def replace(self, name: str, content: bytes, *, known: bytes) -> bool:
        with self._explained(name):
            found = obstore.get(self._store, self._prefix + name)
            meta, stored = found.meta, bytes(found.bytes())
        if stored != known:
            return False
        version = {"e_tag": meta["e_tag"], "version": meta["version"]}
        version = {name: value for name, value in version.items() if value is not None}
        try:
            self._put(name, content, mode=version, attributes={"Content-Type": _content_type(name)})
        except PreconditionError:
            return False
        return True

    def read(self, name: str) -> Iterator[bytes]:
        try:
            with self._explained(name):
                yield from map(bytes, obstore.get(self._store, self._prefix + name).stream())
        except TargetUnavailable as error:
            if isinstance(error.__cause__, FileNotFoundError) and "NoSuchBucket" not in str(error):
                raise FileNotFoundError(self.location(name)) from None
            raise

    def names(self) -> Iterator[str]:
        with self._explained(""):
            for page in obstore.list(self._store, prefix=self._prefix):
                for each in page:
                    yield str(each["path"]).removeprefix(self._prefix)

    def location(self, name: str) -> str:
        return self._shown + name

    def _store_part(self, name: str, staged: BinaryIO, content: str, *, mode: str) -> StoredFile:
        staged.seek(0)
        sha256 = hashlib.file_digest(staged, "sha256").hexdigest()  # type: ignore[arg-type]  # it has `readinto`
        size = staged.tell()
        staged.seek(0)
        attributes = {"Content-Type": _content_type(name), ROWS: content, CONTENT: sha256}
        # Not in several requests: what is left of those would have to be found and removed.
        self._put(name, staged, mode=mode, attributes=attributes)
        return StoredFile(size, sha256)

    def _put(self, name: str, content: BinaryIO | bytes, *, mode: Any, attributes: dict[str, str]) -> None:
        try:
            obstore.put(
                self._store,
                self._prefix + name,
                content,
                mode=mode,
                use_multipart=False,
                attributes=attributes,
            )
        except (AlreadyExistsError, PreconditionError):
            raise
        except (BaseError, OSError) as error:
            raise self._trouble(name, error) from error

    def _compare(self, name: str, content: str) -> StoredFile:
        """Return what is stored under a name, if an earlier attempt of ours put the same results there."""
        with self._explained(name):
            found = obstore.get(self._store, self._prefix + name, options={"head": True})
            attributes, size = found.attributes, found.meta["size"]
        if attributes.get(ROWS) != content:
            raise TargetConflict(
                f"{self.location(name)} holds another part of that name; move it away, or use another prefix"
            )
        return StoredFile(size, attributes[CONTENT])

    @contextmanager
    def _explained(self, name: str) -> Iterator[None]:
        try:
            yield
        except (BaseError, OSError) as error:
            raise self._trouble(name, error) from error

    def _trouble(self, name: str, error: Exception) -> TargetUnavailable:
        return TargetUnavailable(f"{self.location(name)} {describe(error).text}")


def _content_type(name: str) -> str:
    return _CONTENT_TYPES.get(name.rpartition(".")[2], "application/octet-stream")
