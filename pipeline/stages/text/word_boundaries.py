"""Word boundaries: where in a text a word may begin and end.

They follow Unicode (UAX 29) with three differences, all for words that are written onto others: in a script without
spaces, a word may begin and end anywhere; a Korean word may be followed by particles, and an Arabic or Hebrew one
preceded by them; and some apostrophes separate words, as in `l'ami` and `Ann's`.
"""

from __future__ import annotations

# The pattern is a constant.
import re  # noqa: TID251
import unicodedata

# Scripts without spaces between words.
_UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x19FF),  # Tai Le, New Tai Lue, Khmer symbols
    (0x1A20, 0x1AAF),  # Tai Tham
    (0x1B00, 0x1B7F),  # Balinese
    (0x3005, 0x3007),  # Han, iteration mark and zero
    (0x3040, 0x312F),  # Hiragana, Katakana, Bopomofo
    (0x31A0, 0x31FF),  # Bopomofo, Katakana
    (0x3400, 0x9FFF),  # Han
    (0xA000, 0xA4CF),  # Yi
    (0xA980, 0xA9FF),  # Javanese, Myanmar
    (0xAA60, 0xAADF),  # Myanmar, Tai Viet
    (0xF900, 0xFAFF),  # Han, compatibility
    (0x16FE0, 0x18DFF),  # Tangut, Khitan
    (0x1AFF0, 0x1B2FF),  # Kana, Nushu
    (0x20000, 0x3FFFF),  # Han
)
_HANGUL = ((0x1100, 0x11FF), (0x3130, 0x318F), (0xA960, 0xA97F), (0xAC00, 0xD7FF))


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Words of French, Italian and Catalan that lose their vowel before another word: a word may begin after them.
_ELIDED = _words(
    "c d j l m n s t v qu jusqu lorsqu puisqu quoiqu "
    "un gl dell all nell sull dall coll quell quest bell sant anch com cos dov mezz nient senz tutt"
)
#: What follows an apostrophe and leaves the word before it as it is, so that it may end there: the genitive and verbs
#: of English, and the endings of names in Turkish. Not the t of "can't", which negates.
_ENCLITICS = _words(
    "s d m ll re ve "
    "a e ı i u ü ya ye yı yi yu yü na ne nı ni nu nü ın in un ün nın nin nun nün la le yla yle ki "
    "da de ta te dan den tan ten nda nde ndan nden daki deki taki teki lı li lu lü lar ler lara lere ları leri "
    "ların lerin larda lerde lardan lerden dır dir dur dür tır tir tur tür"
)
#: Articles, conjunctions and prepositions that Arabic and Hebrew write onto the next word.
_PROCLITICS = _words(
    "ال و ف ب ك ل لل وال فال بال كال ولل فلل وب ول وك وبال "
    "ה ו ב ל מ ש כ וה וב ול ומ וש וכ שה שב של שמ מה כש כשה וכש לכש ושה"
)
_LONGEST = max(map(len, _ELIDED | _ENCLITICS | _PROCLITICS))

_APOSTROPHE = "'"
_PUNCTUATION = re.compile(r"[^A-Za-z0-9]+")
# Arabic and Hebrew.
_PROCLITIC_FROM, _PROCLITIC_TO = "\u0590", "\u08ff"


def may_begin(text: str, position: int) -> bool:
    """Return whether a word may begin at `position` of a normalized text."""
    if position == 0:
        return True
    left, right = text[position - 1], text[position]
    if left == _APOSTROPHE:
        return not _joins(text, position - 1) or _read_back(text, position - 1) in _ELIDED
    if right == _APOSTROPHE:
        return not _joins(text, position)
    if not _are_in_one_word(left, right):
        return True
    return _PROCLITIC_FROM <= right <= _PROCLITIC_TO and _read_back(text, position) in _PROCLITICS


def may_end(text: str, position: int) -> bool:
    """Return whether a word may end at `position` of a normalized text."""
    if position == len(text):
        return True
    left, right = text[position - 1], text[position]
    if right == _APOSTROPHE:
        return not _joins(text, position) or _read_on(text, position + 1) in _ENCLITICS
    if left == _APOSTROPHE:
        return not _joins(text, position - 1)
    return not _are_in_one_word(left, right) or _is_in(right, _HANGUL)


def _joins(text: str, position: int) -> bool:
    """Return whether the apostrophe at `position` is part of a word; otherwise it is a quotation mark."""
    return 0 < position < len(text) - 1 and _is_spaced(text[position - 1]) and _is_spaced(text[position + 1])


def _are_in_one_word(left: str, right: str) -> bool:
    """Return whether two adjacent characters belong to the same word."""
    if left.isascii() and right.isascii():
        return left.isalnum() and right.isalnum()
    if not (_is_word_character(left) and _is_word_character(right)):
        return False
    # A word of another script is followed by Korean particles as well: "iPhone을".
    return (
        not _is_in(left, _UNSPACED) and not _is_in(right, _UNSPACED) and _is_in(left, _HANGUL) == _is_in(right, _HANGUL)
    )


def _is_spaced(char: str) -> bool:
    return _is_word_character(char) and not _is_in(char, _UNSPACED) and not _is_in(char, _HANGUL)


def keep_words(text: str) -> str:
    """Return the words of a text without punctuation, separated by one space."""
    if text.isascii():
        return " ".join(_PUNCTUATION.sub(" ", text).split())
    return " ".join("".join(char if _is_word_character(char) else " " for char in text).split())


def _is_word_character(char: str) -> bool:
    """Return whether a character is a letter, a digit, or a mark on one."""
    return char.isalnum() or unicodedata.category(char).startswith("M")


def _is_in(char: str, ranges: tuple[tuple[int, int], ...]) -> bool:
    return not char.isascii() and any(first <= ord(char) <= last for first, last in ranges)


def _read_back(text: str, end: int) -> str:
    """Return the letters before `end` in lower case, or the last of them if there are too many for a clitic."""
    start = end
    while start > 0 and end - start <= _LONGEST and _is_word_character(text[start - 1]):
        start -= 1
    return text[start:end].lower()


def _read_on(text: str, start: int) -> str:
    """Return the letters from `start` in lower case, or the first of them if there are too many for a clitic."""
    end = start
    while end < len(text) and end - start <= _LONGEST and _is_word_character(text[end]):
        end += 1
    return text[start:end].lower()
