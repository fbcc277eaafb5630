"""Exports to a folder of this machine, or of a file system that all workers share."""

from __future__ import annotations

import errno
import glob
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from pipeline.errors import TargetConflict, TargetUnavailable
from pipeline.exports.targets.part_store import StoredFile

_BLOCK = 1024 * 1024
#: What a file system without hard links says to making one.
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS})
_CODES = {
    errno.ENOSPC: "disk_full",
    errno.EDQUOT: "quota_exceeded",
    errno.EACCES: "forbidden",
    errno.EPERM: "forbidden",
    errno.EROFS: "read_only",
    errno.EFBIG: "file_too_large",
    errno.ENOENT: "missing_folder",
}


class Folder:
    """A folder. It is created, with those above it, when the first part is written.

    A part is written to a hidden file beside its place. If this process is killed, the next attempt removes that.

    Args:
        shown: the URL of the folder, for messages and manifests; ends in a slash.
    """

    def __init__(self, path: Path, shown: str) -> None:
        self._path = path
        self._shown = shown

    @contextmanager
    def stage(self, name: str) -> Iterator[BinaryIO]:
        with _explained(self._shown):
            place = self._path / name
            place.parent.mkdir(parents=True, exist_ok=True)
            # Never the same file: a process that has lost its lease may still write to the one before.
            for left in place.parent.glob(f".{glob.escape(place.name)}.*.part"):
                left.unlink(missing_ok=True)
            temporary = place.with_name(f".{place.name}.{secrets.token_hex(4)}.part")
            try:
                with temporary.open("xb+") as file:
                    yield file
            finally:
                temporary.unlink(missing_ok=True)

    def publish(self, name: str, staged: BinaryIO, content: str) -> StoredFile:
        with _explained(self._shown):
            stored = _synced(staged)
            if not _link(Path(staged.name), self._path / name):
                self._compare(name, stored)
            _sync_folder((self._path / name).parent)
            return stored

    def restore(self, name: str, staged: BinaryIO, content: str) -> StoredFile:
        with _explained(self._shown):
            stored = _synced(staged)
            Path(staged.name).replace(self._path / name)
            _sync_folder((self._path / name).parent)
            return stored

    def create(self, name: str, content: bytes) -> bytes | None:
        with _explained(self._shown), self.stage(name) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            is_new = _link(Path(file.name), self._path / name)
            _sync_folder(self._path)
            return None if is_new else (self._path / name).read_bytes()

    def replace(self, name: str, content: bytes, *, known: bytes) -> bool:
        with _explained(self._shown):
            if (self._path / name).read_bytes() != known:
                return False
            with self.stage(name) as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                Path(file.name).replace(self._path / name)
            _sync_folder(self._path)
            return True

    def read(self, name: str) -> Iterator[bytes]:
        try:
            with (self._path / name).open("rb") as file:
                while block := file.read(_BLOCK):
                    yield block
        except FileNotFoundError:
            raise
        except OSError as error:
            raise _trouble(self._shown, error) from None

    def names(self) -> Iterator[str]:
        with _explained(self._shown):
            for path in sorted(self._path.rglob("*")):
                if path.is_file() and not path.name.startswith("."):
                    yield path.relative_to(self._path).as_posix()

    def location(self, name: str) -> str:
        return self._shown + name

    def _compare(self, name: str, stored: StoredFile) -> None:
        with (self._path / name).open("rb") as file:
            if _sha256(file) == stored.sha256:
                return
        raise TargetConflict(
            f"{self.location(name)} holds another part of that name; move it away, or use another folder"
        )


def _synced(staged: BinaryIO) -> StoredFile:
    staged.flush()
    # The content must reach the disk before the new name does.
    os.fsync(staged.fileno())
    staged.seek(0)
    return StoredFile(os.fstat(staged.fileno()).st_size, _sha256(staged))


def _link(source: Path, place: Path) -> bool:
    """Give a file a second name. Return False if another file has it: renaming would replace that one."""
    try:
        os.link(source, place)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # The lease on the export keeps others from doing the same in between.
        if place.exists():
            return False
        source.rename(place)
    return True


def _sha256(file: BinaryIO) -> str:
    return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # a file on disk has `readinto`


def _sync_folder(path: Path) -> None:
    # Some file systems cannot sync a folder; the next sync of the disk does it.
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _explained(shown: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _trouble(shown, error) from None


def _trouble(shown: str, error: OSError) -> TargetUnavailable:
    code = _CODES.get(error.errno or 0, "io_error")
    return TargetUnavailable(f"{shown}: {error.strerror or type(error).__name__} ({code})")
