"""Reads definitions from TOML files."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from pipeline.definitions.definition import Definition, from_tables
from pipeline.errors import InvalidDefinition


def load_definition(path: Path) -> Definition:
    """Read a definition from a TOML file. Paths in it are relative to the file's folder.

    Raises:
        InvalidDefinition: the file cannot be read, is not TOML (with line and column), or has invalid fields.
    """
    return from_tables(read_tables(path), folder=path.absolute().parent, source=str(path))


def read_tables(path: Path) -> dict[str, Any]:
    """Return the tables of a TOML file, unchecked.

    Raises:
        InvalidDefinition: the file cannot be read or is not TOML.
    """
    try:
        # Windows editors write a byte order mark, which TOML does not allow.
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise InvalidDefinition(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidDefinition(
            f"{path} is not UTF-8 text (byte {error.start} of the file); save it as UTF-8"
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise InvalidDefinition(f"{path} is not valid TOML: {error}") from error
