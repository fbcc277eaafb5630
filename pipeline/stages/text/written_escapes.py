r"""Decodes escapes that stand in a text as characters: `\n`, `\u0040`, `%40`, `&lt;` and quoted-printable `=3D`.

They come from JSON, HTML, URLs and mails that were pasted or logged without being decoded.
"""

from __future__ import annotations

import binascii
import html

# The patterns are constants, and lookaheads are needed, which RE2 does not have.
import re  # noqa: TID251
from email.errors import MessageError
from email.header import decode_header, make_header
from urllib.parse import unquote_to_bytes

_ESCAPE = re.compile(
    r"""
      # Windows paths contain \n and \t that are no escapes. An escape before an email address is one.
      (?P<path> (?<![\w\\])
        (?> [CDcd]: (?:\\{1,2}[\w.$~-]+)+ | (?:[A-Za-z]: | \\\\[\w.$-]+) (?:\\{1,2}[\w.$~-]+){2,} ) (?!@) )
    | \\+ (?: (?P<space>[nrt]) | (?P<sign>["'/@.]) | u(?P<unit>[0-9A-Fa-f]{4}) | x(?P<byte>[0-9A-Fa-f]{2}) )
    | (?P<entity> & (?:\#\d{1,7} | \#[xX][0-9A-Fa-f]{1,6} | [A-Za-z]{2,31}\d{0,2}) ; )
    | (?P<percent> (?:%[0-9A-Fa-f]{2})+ )
    | (?P<word> =\? [\w*-]+ \? [QqBb] \? [^?\s]* \?= )
    | (?P<equals> =3D )
    """,
    re.VERBOSE,
)
# Escapes within escapes, such as &amp;lt; and %2540, are common; deeper ones are not.
_MAX_DEPTH = 2
_SIGNS = ("\\", "%", "&", "=3D", "=?")

_QUOTED = re.compile(r"=(?:[0-9A-F]{2}|\r?\n)")
# Digits alone may as well be a value: "phone=2025550123".
_SURELY_QUOTED = re.compile(r"=(?:[0-9][A-F]|[A-F][0-9A-F])")


def decode_escapes(text: str) -> str:
    """Return `text` with written-out escapes replaced by the characters they stand for.

    An escape that stands for no text stays as it is.
    """
    if "=" in text and _is_quoted_printable(text):
        text = _decode_bytes(binascii.a2b_qp(text.encode("utf-8", "replace")), text)
    for _ in range(_MAX_DEPTH):
        if not any(sign in text for sign in _SIGNS):
            break
        text, count = _ESCAPE.subn(_decode, text)
        if not count:
            break
    return text


def _is_quoted_printable(text: str) -> bool:
    """Return whether every `=` begins an escape, as it does in a quoted-printable text."""
    return bool(_SURELY_QUOTED.search(text)) and len(_QUOTED.findall(text)) == text.count("=")


def _decode(match: re.Match[str]) -> str:
    written = match[0]
    if match["space"]:
        return "\t" if match["space"] == "t" else "\n"
    if match["sign"]:
        return match["sign"]
    if match["unit"] or match["byte"]:
        return chr(int(match["unit"] or match["byte"], 16))
    if match["entity"]:
        return html.unescape(written)
    if match["percent"]:
        return _decode_bytes(unquote_to_bytes(written), written)
    if match["word"]:
        return _decode_word(written)
    return "=" if match["equals"] else written


def _decode_word(written: str) -> str:
    """Decode a word of a mail header, such as `=?utf-8?Q?Ann=40example.com?=`."""
    try:
        return str(make_header(decode_header(written)))
    except (MessageError, LookupError, ValueError):
        return written


def _decode_bytes(encoded: bytes, otherwise: str) -> str:
    try:
        return encoded.decode()
    except UnicodeDecodeError:
        return otherwise
