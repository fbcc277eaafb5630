"""The statement that a user writes to read items: one SELECT."""

from __future__ import annotations

from pipeline.domain.did_you_mean import quote_name
from pipeline.errors import InvalidInput

_BEGINNINGS = frozenset({"select", "with"})


def check_query(query: str) -> str:
    """Return a query without the semicolon at its end.

    Whether it only reads is for the server to say.

    Raises:
        InvalidInput: it does not begin with SELECT or WITH.
    """
    statement = query.strip().rstrip(";").rstrip()
    word = _first_word(statement)
    if word.lower() not in _BEGINNINGS:
        found = f"this one begins with {quote_name(word)}" if word else "this one is empty"
        raise InvalidInput(f"a query is one statement that begins with SELECT or WITH; {found}")
    return statement


def escape_binds(statement: str) -> str:
    """Return a statement for SQLAlchemy's `text`, which takes `:name` for a parameter."""
    return statement.replace(":", "\\:")


def _first_word(statement: str) -> str:
    rest = statement.lstrip("( \t\r\n")
    while rest.startswith(("--", "/*")):
        end = "\n" if rest.startswith("--") else "*/"
        rest = rest.partition(end)[2].lstrip("( \t\r\n")
    word = ""
    for character in rest:
        if not character.isalnum():
            break
        word += character
    return word
