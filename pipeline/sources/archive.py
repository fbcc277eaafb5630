"""Reads the members of zip and tar archives, one after the other, without unpacking them to disk."""

from __future__ import annotations

import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from fnmatch import fnmatchcase
from typing import Any, cast

from pipeline.errors import InvalidInput
from pipeline.sources.byte_meter import ByteMeter, MeteredStream
from pipeline.sources.format import is_known
from pipeline.sources.source_file import SourceFile
from pipeline.sources.unpack_guard import GuardedStream, UnpackGuard

MAX_MEMBERS = 10_000
#: A table of contents of more bytes has more members than that, or very long names.
_MAX_DIRECTORY_BYTES = 16 * 1024 * 1024
#: What is read of a member that is needed as a whole, such as a workbook.
_MAX_WHOLE_BYTES = 64 * 1024 * 1024
_DESCRIPTIONS = (
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
)
_MAX_DESCRIPTION_BYTES = 1024 * 1024
_NAMES_SHOWN = 5
_ENCRYPTED = 0x1

#: Opens a member's bytes. The archive is opened anew if the member is not the one that is being read.
_Open = Callable[[], AbstractContextManager[Any]]


class Member(SourceFile):
    """A member of an archive. Its name is only shown, and never a path on disk."""

    def __init__(self, archive: str, name: str, size: int, open_member: _Open) -> None:
        self._archive, self._member, self._size, self._open = archive, name, size, open_member

    @property
    def name(self) -> str:
        return f"{self._archive}: {_printable(self._member)}"

    @property
    def path_name(self) -> str:
        return self._member.replace("\\", "/").rpartition("/")[2]

    @property
    def media_type(self) -> str | None:
        return None

    @property
    def can_seek(self) -> bool:
        """Whether it is small enough to be read into memory."""
        return self._size <= _MAX_WHOLE_BYTES

    def size(self) -> int | None:
        return None

    def fingerprint(self) -> str | None:
        return None

    @contextmanager
    def open_stream(self, offset: int = 0) -> Iterator[io.BufferedReader]:
        with self._open() as stream:
            buffered = io.BufferedReader(stream)
            _skip(buffered, offset)
            yield buffered

    @contextmanager
    def open_random(self) -> Iterator[io.BufferedReader]:
        with self._open() as stream:
            content = io.BufferedReader(stream).read(_MAX_WHOLE_BYTES + 1)
        if len(content) > _MAX_WHOLE_BYTES:
            raise InvalidInput(f"{self.name} is longer than the archive says; the archive is damaged")
        whole: io.BufferedReader = io.BufferedReader(cast(io.RawIOBase, io.BytesIO(content)))
        yield whole


def open_zip(file: io.BufferedReader, name: str) -> zipfile.ZipFile:
    """Return an open zip archive.

    Raises:
        InvalidInput: it is damaged, or its table of contents is too long.
    """
    with _explain_errors(name):
        return zipfile.ZipFile(_BoundedReads(file, name))


def read_zip(file: io.BufferedReader, size: int, name: str, pattern: str | None, max_ratio: int) -> Iterator[Member]:
    """Yield the members of a zip archive that are to be read; each can be opened while the archive is.

    Args:
        file: the archive, which has `seek`.
        size: its bytes.
        name: of the archive in messages.
        pattern: which members to read; None: those with a suffix of a known format.

    Raises:
        InvalidInput: it is damaged or encrypted, has too many members, or none that can be read.
    """
    meter = ByteMeter()
    guard = UnpackGuard(name, "the archive", max_ratio)
    total = _Total(guard, size)
    archive = open_zip(MeteredStream(file, meter).buffered(), name)
    members = [info for info in archive.infolist() if not info.is_dir()]
    if len(members) > MAX_MEMBERS:
        raise _too_many(name)
    chosen = [info for info in members if _is_chosen(info.filename, pattern)]
    if not chosen:
        raise _nothing_to_read(name, [info.filename for info in members], pattern)

    @contextmanager
    def opened(info: zipfile.ZipInfo) -> Iterator[GuardedStream]:
        before = meter.count
        with _explain_errors(name), archive.open(info) as stream:
            yield GuardedStream(total.counted(stream), guard, lambda: meter.count - before)

    for info in chosen:
        if info.flag_bits & _ENCRYPTED:
            raise InvalidInput(f"{name} is encrypted: {_printable(info.filename)} needs a password; decrypt it first")
        yield Member(name, info.filename, info.file_size, lambda info=info: opened(info))  # type: ignore[misc]


def read_tar(
    stream: io.BufferedReader,
    reopen: Callable[[], AbstractContextManager[io.BufferedReader]],
    name: str,
    pattern: str | None,
) -> Iterator[Member]:
    """Yield the members of a tar archive that are to be read, in the order in which they are in it.

    Args:
        stream: the archive.
        reopen: opens it again.

    Raises:
        InvalidInput: it is damaged, has too many members, or none that can be read.
    """
    others: list[str] = []
    has_chosen = False
    with _explain_errors(name), tarfile.open(fileobj=stream, mode="r|", tarinfo=_BoundedInfo) as archive:
        for number, info in enumerate(archive):
            if number >= MAX_MEMBERS:
                raise _too_many(name)
            if not info.isreg():
                continue
            if not _is_chosen(info.name, pattern):
                others.append(info.name)
                continue
            has_chosen = True
            yield Member(name, info.name, info.size, _TarOpening(archive, info, reopen, name))
    if not has_chosen:
        raise _nothing_to_read(name, others, pattern)


class _BoundedInfo(tarfile.TarInfo):
    """An entry of a tar archive whose description, such as a long name, is not too long to be kept."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in _DESCRIPTIONS and self.size > _MAX_DESCRIPTION_BYTES:
            raise tarfile.ReadError("a description of a member is too long")
        # Made to be overridden, and missing in the stubs.
        proceed: Callable[[tarfile.TarFile], tarfile.TarInfo] = super()._proc_member  # type: ignore[misc]
        return proceed(archive)


class _TarOpening:
    """Opens a member where the archive is being read, and the next times by reading the archive from its beginning."""

    def __init__(self, archive: tarfile.TarFile, info: tarfile.TarInfo, reopen: Any, name: str) -> None:
        self._archive: tarfile.TarFile | None = archive
        self._info, self._reopen, self._name = info, reopen, name

    @contextmanager
    def __call__(self) -> Iterator[Any]:
        archive, self._archive = self._archive, None
        if archive is not None:
            yield archive.extractfile(self._info)
            return
        with (
            self._reopen() as stream,
            _explain_errors(self._name),
            tarfile.open(fileobj=stream, mode="r|", tarinfo=_BoundedInfo) as again,
        ):
            for info in again:
                if info.offset == self._info.offset:
                    yield again.extractfile(info)
                    return
        raise InvalidInput(f"{self._name} has changed while it was read")


class _Total:
    """All that is unpacked of a zip archive, whose members may share the same bytes."""

    def __init__(self, guard: UnpackGuard, size: int) -> None:
        self._guard, self._size = guard, size
        self._unpacked = 0

    def counted(self, stream: Any) -> Any:
        total = self

        class Counted:
            def read1(self, size: int) -> bytes:
                chunk: bytes = stream.read1(size)
                total.add(len(chunk))
                return chunk

        return Counted()

    def add(self, size: int) -> None:
        self._unpacked += size
        self._guard.check(self._size, self._unpacked)


class _BoundedReads:
    """A file of which no part that is too large is read at once, as a table of contents would be."""

    def __init__(self, file: io.BufferedReader, name: str) -> None:
        self._file, self._name = file, name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def read(self, size: int = -1) -> bytes:
        if size > _MAX_DIRECTORY_BYTES:
            raise _too_many(self._name)
        return self._file.read(size)


@contextmanager
def _explain_errors(name: str) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError) as error:
        reason = str(error).partition("\n")[0] or "it ends too early"
        raise InvalidInput(f"{name} is damaged: {reason}") from None
    except NotImplementedError as error:
        raise InvalidInput(f"{name} cannot be unpacked: {error}; pack it again with the usual compression") from None


def _is_chosen(name: str, pattern: str | None) -> bool:
    """Return whether a member is to be read."""
    if pattern is not None:
        return fnmatchcase(name, pattern)
    parts = name.replace("\\", "/").split("/")
    # macOS adds hidden copies of the attributes.
    return is_known(parts[-1]) and not parts[-1].startswith(".") and parts[0] != "__MACOSX"


def _too_many(name: str) -> InvalidInput:
    return InvalidInput(f"{name} has more than {MAX_MEMBERS:,} members; unpack it, and give the folder")


def _nothing_to_read(name: str, members: list[str], pattern: str | None) -> InvalidInput:
    listed = ", ".join(map(_printable, members[:_NAMES_SHOWN])) + (", …" if len(members) > _NAMES_SHOWN else "")
    if pattern is None:
        return InvalidInput(f"{name} holds no file that can be read ({listed or 'it is empty'})")
    return InvalidInput(f"{name}: no member matches {pattern!r} ({listed or 'it is empty'})")


def _printable(name: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in name)[:200]


def _skip(stream: io.BufferedReader, size: int) -> None:
    while size and (chunk := stream.read(min(size, 64 * 1024))):
        size -= len(chunk)
