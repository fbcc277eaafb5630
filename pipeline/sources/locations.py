"""The files that a path, a glob, a folder or a URL stands for."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from pipeline.errors import InvalidInput
from pipeline.sources.format import is_known
from pipeline.sources.local_file import LocalFile, StreamFile
from pipeline.sources.read_options import ReadOptions
from pipeline.sources.source_access import SourceAccess
from pipeline.sources.source_file import SourceFile
from pipeline.sources.url import STDIN, SchemeKind, SourceUrl, load_opener, parse_location

MAX_FILES = 10_000
_NAMES_SHOWN = 5


def find_files(
    locations: Sequence[str | Path | SourceUrl], options: ReadOptions, stdin: BinaryIO | None
) -> list[SourceFile]:
    """Return the files that locations stand for, in the order of the locations, and each one's sorted by name.

    Args:
        stdin: what `-` reads instead of the process's standard input.

    Raises:
        InvalidInput: one of them stands for no file, cannot be found, or is given twice.
    """
    found: list[SourceFile] = []
    for location in locations:
        found += _expand(location, options, stdin)
    if len(found) > MAX_FILES:
        raise InvalidInput(f"these are {len(found):,} files; a batch takes at most {MAX_FILES:,}")
    names = [file.name for file in found]
    repeated = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if repeated is not None:
        raise InvalidInput(f"{repeated} is given twice; its items would be stored twice")
    return found


def local_paths(location: str | Path) -> list[Path]:
    """Return the files of this machine that a location stands for, none if it is a URL or standard input.

    Raises:
        InvalidInput: there is none, or the URL cannot be used.
    """
    parsed = location if isinstance(location, Path) else parse_location(location)
    if isinstance(parsed, SourceUrl) or parsed == STDIN:
        return []
    return _paths(str(parsed))


def _expand(location: str | Path | SourceUrl, options: ReadOptions, stdin: BinaryIO | None) -> list[SourceFile]:
    parsed = location if isinstance(location, Path | SourceUrl) else parse_location(location)
    if isinstance(parsed, SourceUrl):
        return _find_remote(parsed, options.access)
    if not options.access.is_local_user and stdin is None:
        raise InvalidInput("files of the server cannot be read; send the items instead")
    if parsed == STDIN:
        return [StreamFile(stdin) if options.name is None else StreamFile(stdin, options.name)]
    if isinstance(parsed, Path):
        return [LocalFile(parsed)]
    return [LocalFile(path) for path in _paths(parsed)]


def _find_remote(url: SourceUrl, access: SourceAccess) -> list[SourceFile]:
    kind, find = load_opener(url)
    if kind is not SchemeKind.FILES:
        raise InvalidInput(f"{url.shown} is not a file, and cannot be read together with others")
    files: list[SourceFile] = find(url, access)
    return files


def _paths(location: str) -> list[Path]:
    path = Path(location)
    if location.endswith("/"):
        return _in_folder(path)
    if not glob.has_magic(location) or path.exists():
        return [path]
    found = sorted(each for each in glob.glob(location, recursive=True) if not Path(each).is_dir())
    if not found:
        raise InvalidInput(f"no file matches {location!r}")
    return [Path(each) for each in found]


def _in_folder(folder: Path) -> list[Path]:
    """Return the files of known formats in a folder, not below it."""
    try:
        entries = sorted(each for each in folder.iterdir() if not each.name.startswith("."))
    except OSError as error:
        raise InvalidInput(f"cannot read the folder {folder}: {error.strerror or error}") from None
    found = [each for each in entries if is_known(each.name) and not each.is_dir()]
    if not found:
        names = ", ".join(each.name for each in entries[:_NAMES_SHOWN]) + (", …" if len(entries) > _NAMES_SHOWN else "")
        raise InvalidInput(f"{folder}/ holds no file that can be read ({names or 'it is empty'})")
    return found
