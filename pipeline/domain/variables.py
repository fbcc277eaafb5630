"""`${NAME}` in a definition or a connection, so that secrets stay in the environment of the process that uses them."""

from __future__ import annotations

from collections.abc import Mapping
from string import Template

from pipeline.errors import InvalidDefinition, InvalidInput

_PATTERN = r"\$(?:{(?P<braced>[A-Za-z_][A-Za-z0-9_]*)}|(?P<invalid>{)|(?P<named>(?!))|(?P<escaped>(?!)))"


class _BracedTemplate(Template):
    """A template in which only `${NAME}` is replaced; a lone `$` is common in passwords and paths."""

    # Anything else after "$" is left unchanged, but "${" without a valid name is an error.
    pattern = _PATTERN  # type: ignore[assignment]  # the class takes a string and compiles it


def find_variables(text: str) -> list[str]:
    """Return the name of each `${NAME}` in `text`."""
    return _BracedTemplate(text).get_identifiers()


def expand_variables(
    text: str, where: str, environ: Mapping[str, str], error: type[InvalidInput] = InvalidDefinition
) -> str:
    """Return `text` with each `${NAME}` replaced by its value in `environ`.

    Args:
        where: what messages call the text.
        error: the class of what is raised if a variable is not set, or a name is malformed. Messages never show values.
    """
    try:
        return _BracedTemplate(text).substitute(environ)
    except KeyError as missing:
        name = missing.args[0]
        raise error(f"{where}: the environment variable {name} is not set; set it for the workers") from None
    except ValueError:
        raise error(f"{where}: '${{' must be followed by a variable name and '}}'") from None
