"""`${NAME}` in a definition: secrets stay in the environment of the process that runs the stage."""

from __future__ import annotations

from collections.abc import Mapping
from string import Template

from pipeline.errors import InvalidDefinition

_PATTERN = r"\$(?:{(?P<braced>[A-Za-z_][A-Za-z0-9_]*)}|(?P<invalid>{)|(?P<named>(?!))|(?P<escaped>(?!)))"


class _Braced(Template):
    """Only `${NAME}` is replaced: a lone `$` is common in passwords and paths."""

    # Anything else after "$" is left as it stands, but "${" that is no name is reported.
    pattern = _PATTERN  # type: ignore[assignment]  # the class takes a string and compiles it


def expand(text: str, where: str, environ: Mapping[str, str]) -> str:
    """Return `text` with each `${NAME}` replaced by its value in `environ`.

    Raises:
        InvalidDefinition: a name is not set or malformed; the message says which and `where`, never a value.
    """
    try:
        return _Braced(text).substitute(environ)
    except KeyError as error:
        name = error.args[0]
        raise InvalidDefinition(
            f"{where}: the environment variable {name} is not set; set it for the workers"
        ) from None
    except ValueError:
        raise InvalidDefinition(f"{where}: '${{' must be followed by a variable's name and '}}'") from None
