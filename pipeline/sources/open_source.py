"""Where items come from: a file or standard input, decompressed."""

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
_GZIP = b"\x1f\x8b"


def name_of(source: str | Path) -> str:
    """Return what messages call `source`."""
    return "standard input" if source == STDIN else str(source)


def existing(source: str | Path) -> Path:
    """Return the file that `source` names; raises InvalidInput where it is missing or a folder."""
    path = Path(source)
    try:
        if path.is_dir():
            raise InvalidInput(f"{path} is a folder; give one file")
        if not path.exists():
            raise InvalidInput(f"there is no file {path}{_similar(path)}")
    except (OSError, ValueError) as error:
        raise InvalidInput(f"cannot read {path}: {error}") from None
    return path


@contextmanager
def opened(source: str | Path, stdin: BinaryIO | None) -> Iterator[io.BufferedReader]:
    """The bytes of `source`, decompressed where they are gzip, whatever the name says.

    Raises:
        InvalidInput: it cannot be opened or read to its end; also while the block reads.
    """
    with _explained(name_of(source)), ExitStack() as stack:
        stream = _standard_input(stdin, stack) if source == STDIN else stack.enter_context(Path(source).open("rb"))
        if stream.peek(2).startswith(_GZIP):
            stream = stack.enter_context(_buffered(gzip.GzipFile(fileobj=stream)))
        yield stream


def _standard_input(stdin: BinaryIO | None, stack: ExitStack) -> io.BufferedReader:
    given = sys.stdin.buffer if stdin is None else stdin
    if isinstance(given, io.BufferedReader):
        return given
    stream = _buffered(given)
    # It is the caller's to close; a reader that goes out of scope would close it.
    stack.callback(stream.detach)
    return stream


def _buffered(stream: object) -> io.BufferedReader:
    return io.BufferedReader(cast(io.RawIOBase, stream))


@contextmanager
def _explained(name: str) -> Iterator[None]:
    try:
        yield
    except EOFError:
        raise InvalidInput(f"{name} is cut off: the gzip data ends too early; copy the file again") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise InvalidInput(f"{name} is damaged gzip data: {error}") from None
    except UnicodeError as error:
        raise InvalidInput(
            f"cannot decode {name}: {error}; name its encoding with --encoding, for example utf-8 or utf-16-le"
        ) from None
    except OSError as error:
        raise InvalidInput(f"cannot read {name}: {error.strerror or error}") from None


def _similar(path: Path) -> str:
    if not path.parent.is_dir():
        return f"; there is no folder {path.parent} either"
    return hint(path.name, (entry.name for entry in path.parent.iterdir()))
