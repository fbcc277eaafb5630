"""Tells from the text around a number whether it is an order number, an amount or a part of a code."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.stages.enrichers import number_words as words
from pipeline.stages.enrichers.hosts import UNSPACED

_BEFORE_BYTES, _GLUED_BYTES, _AFTER_BYTES = 160, 40, 24
_LABEL_CHARACTERS, _LABEL_WORDS, _MIN_PARTS = 60, 6, 3
_MIN_INFLECTED, _MAX_ENDING, _MAX_NUMBER_WORDS = 5, 3, 3

# Letters without a space in between ("A212", "ORD-212"), and signs of codes and figures. In other scripts, a letter
# before a number is a separate word.
_LETTER = rf"[^\P{{L}}{UNSPACED}]"
_GLUED = rf"{_LETTER}-?|[#№_=/]|(?:^|[\s\p{{Nd}}])-"
# What may stand between a word and its number, besides spaces; a line break only after a colon.
_TAG = r"</?[A-Za-z][^<>]*>|:\s*\n"
_CAMEL = r"(\p{Ll})(\p{Lu})"
_JOINS = ' \t:;#№.-_="()[]<>*|/،•'
# Not a comma: it is left at the word before it, so that "order, 2125551234" is none of these.
_BETWEEN_WORDS = str.maketrans(dict.fromkeys(':;#№_="()[]<>*|،•', " "))

_DOTS_IN_IPV4 = 3
_DECIMALS = r"^,\d\d?(?:\D|$)"
_DOTTED_QUAD = r"(\d{1,3}(?:\.\d{1,3}){3})(/\d\d?)?"


def _split(texts: Iterable[str]) -> frozenset[str]:
    return frozenset(word.replace("_", " ") for text in texts for word in text.split())


_REFERENCES, _HOLDERS = _split(words.REFERENCES.values()), _split(words.HOLDERS.values())
_NUMBER, _OF, _PHONE = _split([words.NUMBER]), _split([words.OF]), tuple(words.PHONE.split())
_UNSPACED_REFERENCES = tuple(_split(words.UNSPACED_REFERENCES.values()))
# The longest first: 番号 before 号.
_UNSPACED_NUMBER = tuple(sorted(words.UNSPACED_NUMBER.split(), key=len, reverse=True))


class NumberContext:
    """Judges numbers without a country code by the text around them.

    Raises:
        ImportError: `re2` is not installed.
    """

    def __init__(self) -> None:
        import re2

        def alternatives(text: str) -> str:
            return "|".join(re2.escape(word) for word in text.split())

        currencies = alternatives(words.CURRENCIES)
        units, unspaced_units = alternatives(words.UNITS), alternatives(words.UNSPACED_UNITS)
        self._tag, self._camel = re2.compile(_TAG), re2.compile(_CAMEL)
        self._phone_key = re2.compile(rf"(?i)(?:^|[^\pL\p{{Nd}}])(?:{alternatives(words.PHONE_KEYS)})\.?\s?[=#/-]$")
        self._glued_or_currency = re2.compile(rf"(?i)(?:{_GLUED}|(?:\p{{Sc}}|(?:^|[^\pL])(?:{currencies}))\s*)$")
        self._unit_after = re2.compile(
            rf"(?i)^\s?(?:\p{{Sc}}|{unspaced_units}|(?:{currencies}|{units})(?:$|[^\pL\p{{Nd}}]))"
        )
        self._decimals, self._dotted_quad = re2.compile(_DECIMALS), re2.compile(_DOTTED_QUAD)

    def is_other_number(self, text: bytes, start: int, end: int) -> bool:
        """Return whether the number from `start` to `end` is something else than a phone number."""
        before, after = text[max(start - _BEFORE_BYTES, 0) : start], text[end : end + _AFTER_BYTES]
        if self._glued_or_currency.search(before[-_GLUED_BYTES:]):
            return not self._phone_key.search(before)
        if self._is_reference(before.decode("utf-8", "ignore")):
            return True
        return bool(self._unit_after.search(after)) or self._is_address_or_amount(text[start:end], after)

    def _is_reference(self, before: str) -> bool:
        """Return whether the text ends with words such as "order no."."""
        if "<" in before or (":" in before and "\n" in before):
            before = self._tag.sub(" ", before)
        before = before[-_LABEL_CHARACTERS:].rpartition("\n")[2]
        if _ends_with_unspaced_reference(before):
            return True
        found = before.translate(_BETWEEN_WORDS).split()
        return bool(found) and self._end_with_reference(found[-_LABEL_WORDS:])

    def _end_with_reference(self, found: list[str]) -> bool:
        parts: list[str] = []
        number_words = 0
        while number_words <= _MAX_NUMBER_WORDS:
            # Most words are neither, so that those before them need not be split.
            while found and len(parts) < _MIN_PARTS:
                parts[:0] = self._split_parts(found.pop())
            if not parts:
                return False
            if _is_reference(parts[-1]) or " ".join(parts[-2:]) in _REFERENCES:
                return True
            if parts[-1] not in _NUMBER:
                return _is_holder(parts) and (number_words > 0 or _follows_number(parts))
            parts.pop()
            number_words += 1
        return False

    def _split_parts(self, word: str) -> list[str]:
        """Return the words in a word such as "orderId", "n°", "d'ordine" or "Kd.-Nr.", in lower case."""
        if word[1:] != word[1:].lower():
            word = self._camel.sub(r"\1-\2", word)
        word = word.casefold().replace(".", "").strip("'").rpartition("'")[2]
        return [word] if word in _REFERENCES else [part for part in word.replace("/", "-").split("-") if part]

    def _is_address_or_amount(self, number: bytes, after: bytes) -> bool:
        quad = self._dotted_quad.fullmatch(number) if number.count(b".") == _DOTS_IN_IPV4 else None
        if quad:
            parts = quad[1].split(b".")
            # Four pairs, such as 20.30.40.50, are a phone number in Denmark.
            is_in_pairs = all(len(part) == 2 for part in parts) and not quad[2] and after[:1] not in (b":", b"/")
            return max(map(int, parts)) < 256 and not is_in_pairs
        return b"." in number and bool(self._decimals.search(after))


def _is_reference(word: str) -> bool:
    # Not so for "Telefonnummer", and "Kontakt", which is no form of "konto".
    if word.startswith(_PHONE):
        return word in _REFERENCES
    return (word.endswith(words.COMPOUND_NUMBER) and word not in _NUMBER) or _is_among(word, _REFERENCES)


def _is_holder(parts: list[str]) -> bool:
    return _is_among(parts[-1], _HOLDERS) or " ".join(parts[-2:]) in _HOLDERS


def _follows_number(parts: list[str]) -> bool:
    preceding = [part for part in parts[-3:-1] if part not in _OF]
    return bool(preceding) and preceding[-1] in _NUMBER


def _is_among(word: str, listed: frozenset[str]) -> bool:
    """Return whether a word is listed, as it is or without a short ending."""
    if word in listed or (word.endswith("s") and word[:-1] in listed):
        return True
    # Not so for "order," and "Rechnung?".
    longest = min(_MAX_ENDING, len(word) - _MIN_INFLECTED) if word[-1].isalpha() else 0
    return any(word[:-length] in listed for length in range(1, longest + 1))


def _ends_with_unspaced_reference(before: str) -> bool:
    for _ in range(_MAX_NUMBER_WORDS):
        before = before.rstrip(_JOINS)
        if before[-1:].isascii():
            return False
        if before.endswith(_UNSPACED_REFERENCES):
            return True
        before = before.removesuffix(next((word for word in _UNSPACED_NUMBER if before.endswith(word)), " "))
    return False
