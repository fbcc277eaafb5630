"""Brings texts into one form, so that those a reader considers equal compare equal.

Unicode's own compatibility form (NFKC) makes 10² equal to 102, and keeps typographic apostrophes and hyphens apart.
"""

from __future__ import annotations

# The patterns are constants, and RE2 is an optional package.
import re  # noqa: TID251
import unicodedata
from collections.abc import Mapping
from functools import cache

# Default_Ignorable_Code_Point, as first and last code points, without the tags, which tell the flags of regions apart.
_INVISIBLE = (
    (0x00AD, 0x00AD),  # soft hyphen
    (0x034F, 0x034F),
    (0x0640, 0x0640),  # tatweel, below
    (0x061C, 0x061C),
    (0x115F, 0x1160),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x200B, 0x200F),  # zero-width space, joiner, non-joiner, marks of direction
    (0x202A, 0x202E),
    (0x2060, 0x206F),
    (0x3164, 0x3164),
    (0xFE00, 0xFE0F),  # variation selectors
    (0xFEFF, 0xFEFF),  # byte order mark
    (0xFFA0, 0xFFA0),
    (0xFFF0, 0xFFF8),
    (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A),
    (0xE0000, 0xE001F),
    (0xE0080, 0xE0FFF),
)

# Visible, but only stretches an Arabic word.
_TATWEEL = "\u0640"

# What people type for the same sign, depending on keyboard, autocorrection and language.
_SAME_SIGN = {
    # Quotation marks, prime, modifier letters, Armenian, Hebrew, N'Ko and Greek apostrophes, saltillo.
    "'": "\u2018\u2019\u201a\u201b\u2032\u02b9\u02bb\u02bc\u055a\u05f3\u07f4\u1fbd\u1fbf\u275b\u275c\ua78b\ua78c",
    # Quotation marks, double prime, Hebrew gershayim.
    '"': "\u201c\u201d\u201e\u201f\u2033\u05f4\u275d\u275e\u301d\u301e\u301f",
    # Hyphens, figure dash, en dash, minus; Armenian, Hebrew, Mongolian. The em dash stands between clauses.
    "-": "\u2010\u2011\u2012\u2013\u2043\u2212\u058a\u05be\u1806",
    "\n": "\u0085\u2028\u2029",
    # The blank of Braille, which chat programs do not trim.
    " ": "\u2800",
}

# Kinds of compatibility decompositions that change only the look of a character …
_LOOKS = frozenset(
    f"<{kind}>"
    for kind in ["wide", "narrow", "small", "vertical", "font", "noBreak", "initial", "medial", "final", "isolated"]
)
# … and, among those of no kind, ligatures, digraphs, Roman numerals and Chinese radicals. Signs such as №, ㈱ are not
# spelled out; Korean letters that stand alone (ㅋㅋ) and the vowel am of Thai and Lao are typed as they are.
_LIGATURES = frozenset(("Ll", "Lu", "Lt", "Lo", "Nl", "Po"))
_KEPT = (range(0x3131, 0x318F), range(0x0E33, 0x0E34), range(0x0EB3, 0x0EB4))
_RADICALS = range(0x2E80, 0x2FE0)

# Blocks that contain such characters.
_BLOCKS = (
    range(0x00A0, 0x2400),
    range(0x2A00, 0x2B00),
    range(0x2E80, 0x3400),
    range(0xFB00, 0xFFF0),
    range(0x1D400, 0x1D800),
    range(0x1EE00, 0x1EF00),
    range(0x1FBF0, 0x1FBFA),
)

# Backtick and acute accent are apostrophes where people mistype them, as in "don`t".
_TYPED_APOSTROPHE = re.compile(r"(?<=[^\W\d_])[`´](?=[^\W\d_])")
# The characters of Latin-1 that `normalize` may replace: NEL, no-break space, soft hyphen, accents, micro sign.
_LATIN_VARIANTS = b"\x85\xa0\xad`\xb4\xb5"
# The vowel am of Thai and Lao, written as two characters, with or without a tone mark in between.
_SPLIT_AM = (
    (re.compile("\u0e4d([\u0e48-\u0e4b]?)\u0e32"), "\\1\u0e33"),
    (re.compile("\u0ecd([\u0ec8-\u0ecb]?)\u0eb2"), "\\1\u0eb3"),
)
# Case folding turns the Turkish İ into i and this dot; in Lithuanian, it is written after a letter that has one.
_SECOND_DOT = re.compile("(?<=[ijịįḭ])\u0307+")


def normalize(text: str) -> str:
    """Return `text` in the form in which texts are matched, looked up and learned. Case is kept.

    Letters are composed (NFC), invisible characters removed, and variants of apostrophes, quotation marks, hyphens,
    spaces, widths, fonts and ligatures replaced by the plain characters. Normalizing twice changes nothing more.
    """
    if text.isascii():
        return _TYPED_APOSTROPHE.sub("'", text) if "`" in text else text
    if _is_plain_latin(text):
        return text
    text = unicodedata.normalize("NFC", text)
    text, count = _variants().subn(_replace_variant, text)
    if count:
        text = unicodedata.normalize("NFC", text)
    if "´" in text or "`" in text:
        text = _TYPED_APOSTROPHE.sub("'", text)
    if "\u0e4d" in text or "\u0ecd" in text:
        for pattern, replacement in _SPLIT_AM:
            text = pattern.sub(replacement, text)
    return text


def fold(text: str) -> str:
    """Return `text` normalized and without case. `ß` becomes `ss`; the Turkish `İ` and `ı` become `i`."""
    text = normalize(text)
    if text.isascii():
        return text.lower()
    folded = text.casefold().replace("ı", "i")
    if "\u0307" in folded:
        folded = _SECOND_DOT.sub("", folded)
    # Case folding can decompose a letter again.
    return unicodedata.normalize("NFC", folded)


def _is_plain_latin(text: str) -> bool:
    """Return whether a text of Western European letters is normalized already, in a tenth of the time it takes else."""
    try:
        encoded = text.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return len(encoded.translate(None, _LATIN_VARIANTS)) == len(encoded)


def _replace_variant(match: re.Match[str]) -> str:
    return replacements().get(match[0], match[0])


@cache
def _variants() -> re.Pattern[str]:
    # Computed for the first text that is not ASCII, so that programs without one start no slower.
    # Beyond the basic plane, a set is searched one by one, and few characters need it: look all of them up.
    basic = "".join(char for char in replacements() if char < "\U00010000")
    return re.compile(f"[{re.escape(basic)}\U00010000-\U0010ffff]")


def is_empty(text: str) -> bool:
    """Return whether a text has nothing that a reader sees, only white space and invisible characters."""
    stripped = text.strip()
    if not stripped or stripped[0].isascii():
        return not stripped
    # The beginning is enough for almost every text.
    return not normalize(stripped[:50]).strip() and not normalize(stripped).strip()


@cache
def replacements() -> Mapping[str, str]:
    """Return the plain characters for each character that `normalize` replaces wherever it stands."""
    plain = {char: _expand(char) for block in _BLOCKS for char in map(chr, block)}
    plain |= {char: sign for sign, chars in _SAME_SIGN.items() for char in chars}
    plain = {char: expanded.replace(_TATWEEL, "") for char, expanded in plain.items() if expanded != char}
    return plain | {chr(point): "" for first, last in _INVISIBLE for point in range(first, last + 1)}


def _expand(char: str) -> str:
    """Return the plain characters for a character, or the character itself."""
    if unicodedata.category(char) == "Zs":
        return " "
    sign = next((sign for sign, chars in _SAME_SIGN.items() if char in chars), None)
    if sign is not None:
        return sign
    kind, *points = unicodedata.decomposition(char).split() or [""]
    # A decomposition that begins with a space is that of an accent which stands alone.
    if not _is_variant(char, kind) or points[0] == "0020":
        return char
    return "".join(_expand(chr(int(point, 16))) for point in points)


def _is_variant(char: str, kind: str) -> bool:
    if kind in _LOOKS:
        return True
    if kind != "<compat>" or any(ord(char) in kept for kept in _KEPT):
        return False
    return unicodedata.category(char) in _LIGATURES or ord(char) in _RADICALS
