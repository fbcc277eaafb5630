"""Imports the module with a user's classifier or enricher."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType, TracebackType

from pipeline.domain.did_you_mean import hint
from pipeline.errors import InvalidDefinition

_CACHE_ATTEMPTS = 10


def import_module(name: str, folder: Path) -> ModuleType:
    """Import `name` from `folder`, the current directory or the installed packages.

    Both directories are appended to `sys.path`, so that their modules do not shadow installed packages.

    Raises:
        InvalidDefinition: the module does not exist, is shadowed by another one, or raised while it was imported.
    """
    folders = _extend_sys_path(folder)
    _invalidate_caches()
    _check_not_shadowed(name, folders)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise _import_failed(name, error) from error
        raise _not_found(name, folders) from error
    except (Exception, SystemExit) as error:
        raise _import_failed(name, error) from error


def _invalidate_caches() -> None:
    """Have modules found that were written since the program began."""
    for _ in range(_CACHE_ATTEMPTS):
        # Python walks a table, and removes entries from it, that imports in other threads may change at the same time.
        with suppress(RuntimeError, KeyError):
            importlib.invalidate_caches()
            return


def module_exists(name: str, folder: Path) -> bool:
    """Return whether a module or package is in `folder`, the current directory or installed, without importing it."""
    top_level = name.partition(".")[0]
    in_folders = any(_find_source(path, top_level) for path in (folder, Path.cwd()))
    return in_folders or _find_origin(top_level) is not None


def _extend_sys_path(folder: Path) -> list[Path]:
    folders = list(dict.fromkeys([folder.resolve(), Path.cwd()]))
    known = {os.path.realpath(entry) for entry in sys.path}
    sys.path.extend(str(path) for path in folders if os.path.realpath(path) not in known)
    return folders


def _check_not_shadowed(name: str, folders: list[Path]) -> None:
    """Raise if Python would import a different module with this name; it keeps only one module per name."""
    top_level = name.partition(".")[0]
    wanted = next((source for path in folders if (source := _find_source(path, top_level))), None)
    actual = _find_origin(top_level)
    if wanted is None or actual is None or actual.is_relative_to(wanted):
        return
    raise InvalidDefinition(
        f"module {top_level!r} is {wanted}, but Python imports {actual} instead; rename your module and update `use`"
    )


def _find_source(folder: Path, top_level: str) -> Path | None:
    candidates = (folder / top_level, folder / f"{top_level}.py")
    return next((path.resolve() for path in candidates if path.is_file() or (path / "__init__.py").is_file()), None)


def _find_origin(top_level: str) -> Path | None:
    """Return the file that is or would be imported as `top_level`; the name itself if the module has no file."""
    loaded = sys.modules.get(top_level)
    if loaded is not None:
        file = getattr(loaded, "__file__", None)
        return Path(file).resolve() if file else Path(top_level)
    spec = importlib.util.find_spec(top_level)
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).resolve() if spec.has_location else Path(top_level)


def _not_found(name: str, folders: list[Path]) -> InvalidDefinition:
    places = ", ".join(str(path) for path in folders)
    suggestion = hint(name, sorted({name for path in folders for name in _module_names(path)}))
    return InvalidDefinition(f"no module {name!r} in {places} or among the installed packages{suggestion}")


def _module_names(folder: Path) -> Iterator[str]:
    for path in folder.glob("*.py"):
        yield path.stem
    for path in folder.glob("*/__init__.py"):
        yield path.parent.name


def _import_failed(name: str, error: BaseException) -> InvalidDefinition:
    location = _find_location(error)
    at = f" at {location[0]}, line {location[1]}" if location else ""
    return InvalidDefinition(f"module {name!r} cannot be imported: {type(error).__name__}: {error}{at}")


def _find_location(error: BaseException) -> tuple[str, int] | None:
    """Return the (file, line) in the user's code where the import failed, skipping Python's import system."""
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        return error.filename, error.lineno
    frames = [(trace.tb_frame.f_code.co_filename, trace.tb_lineno) for trace in _walk_traceback(error.__traceback__)]
    return next((frame for frame in reversed(frames) if not _is_import_system(frame[0])), None)


def _is_import_system(filename: str) -> bool:
    return filename.startswith("<frozen importlib") or filename in (__file__, importlib.__file__)


def _walk_traceback(trace: TracebackType | None) -> Iterator[TracebackType]:
    while trace is not None:
        yield trace
        trace = trace.tb_next
