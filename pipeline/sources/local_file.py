"""Files of this machine, and standard input."""

from __future__ import annotations

import io
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from pipeline.domain.did_you_mean import hint
from pipeline.errors import InvalidInput
from pipeline.sources.fingerprint import fingerprint_file
from pipeline.sources.source_file import SourceFile
from pipeline.sources.url import STDIN


class LocalFile(SourceFile):
    """A file, a pipe or a device of this machine.

    Raises:
        InvalidInput: it does not exist, or is a folder.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = check_file(path)
        self._status: os.stat_result | None = None

    @property
    def name(self) -> str:
        return str(self._path)

    @property
    def path_name(self) -> str:
        return self._path.name

    @property
    def media_type(self) -> str | None:
        return None

    @property
    def can_seek(self) -> bool:
        return self._is_regular()

    def size(self) -> int | None:
        return self._stat().st_size if self._is_regular() else None

    def fingerprint(self) -> str | None:
        if not self._is_regular():
            return None
        with self.open_random() as file:
            return fingerprint_file(file)

    @contextmanager
    def open_stream(self, offset: int = 0) -> Iterator[io.BufferedReader]:
        with self.open_random() as file:
            if offset:
                file.seek(offset)
            yield file

    @contextmanager
    def open_random(self) -> Iterator[io.BufferedReader]:
        try:
            file = self._path.open("rb")
        except FileNotFoundError:
            raise InvalidInput(f"{self._path} has vanished since it was listed") from None
        except OSError as error:
            raise InvalidInput(f"cannot read {self._path}: {error.strerror or error}") from None
        with file:
            yield file

    def _is_regular(self) -> bool:
        return stat.S_ISREG(self._stat().st_mode)

    def _stat(self) -> os.stat_result:
        if self._status is None:
            try:
                self._status = self._path.stat()
            except OSError as error:
                raise InvalidInput(f"cannot read {self._path}: {error.strerror or error}") from None
        return self._status


class StreamFile(SourceFile):
    """An open stream, such as standard input. It is read once, and left open.

    Args:
        stream: None: standard input.
        name: in messages.
    """

    def __init__(self, stream: BinaryIO | None = None, name: str = "standard input") -> None:
        self._stream, self._name = stream, name

    @property
    def name(self) -> str:
        return self._name

    @property
    def path_name(self) -> str:
        return ""

    @property
    def media_type(self) -> str | None:
        return None

    @property
    def can_seek(self) -> bool:
        """Whether the stream was handed in and has `seek`. Standard input is read once, even from a file."""
        return self._stream is not None and self._stream.seekable()

    def size(self) -> int | None:
        return None

    def fingerprint(self) -> str | None:
        return None

    @contextmanager
    def open_stream(self, offset: int = 0) -> Iterator[io.BufferedReader]:
        raw = self._stream
        if raw is None and sys.stdin is None:
            raise InvalidInput("standard input is closed; give a file, or redirect one to it")
        if raw is None:
            raw = sys.stdin.buffer
        if isinstance(raw, io.BufferedReader):
            yield raw
            return
        stream: io.BufferedReader = io.BufferedReader(cast(io.RawIOBase, raw))
        try:
            yield stream
        finally:
            # The caller closes the stream, or has. Without detaching, the buffered reader would close it as garbage.
            if not raw.closed:
                stream.detach()

    @contextmanager
    def open_random(self) -> Iterator[io.BufferedReader]:
        with self.open_stream() as stream:
            stream.seek(0)
            yield stream


def display_name(source: str | Path) -> str:
    """Return the name of `source` in messages."""
    return "standard input" if source == STDIN else str(source)


def check_file(source: str | Path) -> Path:
    """Return the path of the file `source`.

    Raises:
        InvalidInput: it does not exist, or is a folder.
    """
    path = Path(source)
    try:
        if path.is_dir():
            raise InvalidInput(f"{path} is a folder; put a slash at its end to read the files in it")
        if path.is_symlink() and not path.exists():
            raise InvalidInput(f"cannot read {path}: it is a link to {path.readlink()}, which cannot be found")
        if not path.exists():
            raise InvalidInput(f"there is no file {path}{_suggest_file(path)}")
    except (OSError, ValueError) as error:
        raise InvalidInput(f"cannot read {path}: {error}") from None
    return path


def _suggest_file(path: Path) -> str:
    if not path.parent.is_dir():
        return f"; there is no folder {path.parent} either"
    return hint(path.name, (entry.name for entry in path.parent.iterdir()))
