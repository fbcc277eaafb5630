"""Imports the module that a definition names."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, TracebackType

from pipeline.domain.did_you_mean import hint
from pipeline.errors import InvalidDefinition


def import_module(name: str, folder: Path) -> ModuleType:
    """Import `name` from `folder`, the current directory or the installed packages.

    Both directories are added to the end of `sys.path`, so that nothing there takes the place of an installed package.

    Raises:
        InvalidDefinition: there is no such module, another of its name came first, or it failed while it was imported.
    """
    folders = _add_to_path(folder)
    importlib.invalidate_caches()
    _refuse_namesake(name, folders)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise _failed(name, error) from error
        raise _not_found(name, folders) from error
    except (Exception, SystemExit) as error:
        raise _failed(name, error) from error


def is_there(name: str, folder: Path) -> bool:
    """Whether the package or module of that name is in `folder`, the current directory or among the installed ones."""
    top = name.partition(".")[0]
    return any(_source(path, top) for path in (folder, Path.cwd())) or _origin(top) is not None


def _add_to_path(folder: Path) -> list[Path]:
    folders = list(dict.fromkeys([folder.resolve(), Path.cwd()]))
    known = {os.path.realpath(entry) for entry in sys.path}
    sys.path.extend(str(path) for path in folders if os.path.realpath(path) not in known)
    return folders


def _refuse_namesake(name: str, folders: list[Path]) -> None:
    """Python keeps one module of a name: rather none than another than the definition means."""
    top = name.partition(".")[0]
    meant = next((source for path in folders if (source := _source(path, top))), None)
    found = _origin(top)
    if meant is None or found is None or found.is_relative_to(meant):
        return
    raise InvalidDefinition(
        f"module {top!r} means {meant}, but Python imports {found}: rename the former and correct `use`"
    )


def _source(folder: Path, top: str) -> Path | None:
    candidates = (folder / top, folder / f"{top}.py")
    return next((path.resolve() for path in candidates if path.is_file() or (path / "__init__.py").is_file()), None)


def _origin(top: str) -> Path | None:
    """Return the file that is or would be imported as `top`; of a module without a file, its name."""
    loaded = sys.modules.get(top)
    if loaded is not None:
        file = getattr(loaded, "__file__", None)
        return Path(file).resolve() if file else Path(top)
    spec = importlib.util.find_spec(top)
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).resolve() if spec.has_location else Path(top)


def _not_found(name: str, folders: list[Path]) -> InvalidDefinition:
    places = ", ".join(str(path) for path in folders)
    near = hint(name, sorted({name for path in folders for name in _modules(path)}))
    return InvalidDefinition(f"no module {name!r} in {places} or among the installed packages{near}")


def _modules(folder: Path) -> Iterator[str]:
    for path in folder.glob("*.py"):
        yield path.stem
    for path in folder.glob("*/__init__.py"):
        yield path.parent.name


def _failed(name: str, error: BaseException) -> InvalidDefinition:
    place = _place(error)
    at = f" at {place[0]}, line {place[1]}" if place else ""
    return InvalidDefinition(f"module {name!r} cannot be imported: {type(error).__name__}: {error}{at}")


def _place(error: BaseException) -> tuple[str, int] | None:
    """Return file and line where the import failed, those of the user's code rather than Python's import system."""
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        return error.filename, error.lineno
    frames = [(trace.tb_frame.f_code.co_filename, trace.tb_lineno) for trace in _traces(error.__traceback__)]
    return next((frame for frame in reversed(frames) if not _is_import_system(frame[0])), None)


def _is_import_system(filename: str) -> bool:
    return filename.startswith("<frozen importlib") or filename in (__file__, importlib.__file__)


def _traces(trace: TracebackType | None) -> Iterator[TracebackType]:
    while trace is not None:
        yield trace
        trace = trace.tb_next
