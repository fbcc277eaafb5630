"""Opens a file or standard input for reading, and decompresses it."""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from pipeline.domain.did_you_mean import hint
from pipeline.errors import InvalidInput

STDIN = "-"
_GZIP_MAGIC = b"\x1f\x8b"


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
            raise InvalidInput(f"{path} is a folder; give a file")
        if path.is_symlink() and not path.exists():
            raise InvalidInput(f"cannot read {path}: it is a link to {path.readlink()}, which cannot be found")
        if not path.exists():
            raise InvalidInput(f"there is no file {path}{_suggest_file(path)}")
    except (OSError, ValueError) as error:
        raise InvalidInput(f"cannot read {path}: {error}") from None
    return path


@contextmanager
def open_source(source: str | Path, stdin: BinaryIO | None, name: str | None = None) -> Iterator[io.BufferedReader]:
    """Open `source` and yield its bytes; gzip data is decompressed regardless of the file's name.

    Raises:
        InvalidInput: it cannot be opened or read to the end; may also be raised from reads inside the block.
    """
    with _explain_errors(name or display_name(source)), ExitStack() as stack:
        stream = _open_stdin(stdin, stack) if source == STDIN else stack.enter_context(Path(source).open("rb"))
        if stream.peek(2).startswith(_GZIP_MAGIC):
            stream = stack.enter_context(_buffer(gzip.GzipFile(fileobj=stream)))
        yield stream


def _open_stdin(stdin: BinaryIO | None, stack: ExitStack) -> io.BufferedReader:
    if stdin is None and sys.stdin is None:
        raise InvalidInput("standard input is closed; give a file, or redirect one to it")
    raw = sys.stdin.buffer if stdin is None else stdin
    if isinstance(raw, io.BufferedReader):
        return raw
    stream = _buffer(raw)
    # The caller closes `stdin`. Without detaching, the buffered reader would close it when it is garbage-collected.
    stack.callback(stream.detach)
    return stream


def _buffer(stream: object) -> io.BufferedReader:
    return io.BufferedReader(cast(io.RawIOBase, stream))


@contextmanager
def _explain_errors(name: str) -> Iterator[None]:
    try:
        yield
    except EOFError:
        raise InvalidInput(f"{name} is truncated: the gzip data ends too early; copy the file again") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise InvalidInput(f"{name} contains damaged gzip data: {error}") from None
    except UnicodeError as error:
        raise InvalidInput(
            f"cannot decode {name}: {error}; name its encoding with --encoding, for example utf-8 or utf-16-le"
        ) from None
    except OSError as error:
        raise InvalidInput(f"cannot read {name}: {error.strerror or error}") from None


def _suggest_file(path: Path) -> str:
    if not path.parent.is_dir():
        return f"; there is no folder {path.parent} either"
    return hint(path.name, (entry.name for entry in path.parent.iterdir()))
