"""Proposes encodings for bytes that are invalid in the assumed one. None is applied unless the user names it."""

from __future__ import annotations

import codecs
import unicodedata

#: In order of preference.
_CANDIDATES = ("utf-8", "cp1252", "cp1250", "cp1251", "big5", "gb18030", "shift_jis", "cp949", "euc_kr")
_MAX_PROPOSALS = 3
#: Characters by which candidates are compared.
_COMPARED = 64 * 1024
#: Share of characters that do not occur in text with which a candidate is dropped.
_FORBIDDEN_SHARE = 0.1
#: Controls that occur in text.
_USUAL_CONTROLS = "\t\n\r\f\x1a"
_USUAL_SYMBOLS = "€°«»¿¡·"
#: Blocks of symbols and punctuation that occur in text: dashes and quotes, and those of East Asia.
_USUAL_BLOCKS = (("\u2010", "\u203a"), ("\u3000", "\u303f"), ("\uff00", "\uffef"))
_CHINESE = (("\u3400", "\u9fff"),)
_HANGUL = (("\uac00", "\ud7a3"),)
#: Scripts that are not mixed with Latin letters in one word.
_EAST_ASIAN = (*_CHINESE, *_HANGUL, ("\u3040", "\u30ff"), ("\uff00", "\uffef"))


class EncodingProposals:
    """Encodings that can decode the beginning of an input, the likeliest first.

    Args:
        sample: the input's first bytes; it may grow until the first proposal.
    """

    def __init__(self, sample: bytes | bytearray = b"") -> None:
        self._sample = sample
        self._ranked: list[str] | None = None
        #: The one that was proposed first, if any was.
        self.best: str | None = None

    def advice(self, encoding: str, error: UnicodeDecodeError) -> str:
        """Return what to do about a record that is invalid in `encoding`."""
        # Text in another encoding than UTF-8 was converted; only the sample has its original bytes.
        record = bytes(error.object) if encoding == "utf-8" else b""
        if self._ranked is None:
            # The sample may be ASCII up to its end.
            self._ranked = _rank_encodings(bytes(self._sample), record)
        fitting = [name for name in self._ranked if name != encoding and _decode(record, name) is not None]
        if not fitting:
            return "none of the common encodings fits; if you know the right one, name it with --encoding"
        self.best = self.best or fitting[0]
        *others, last = fitting[:_MAX_PROPOSALS]
        names = f"{', '.join(others)} or {last}" if others else last
        shown = "UTF-8" if encoding == "utf-8" else encoding
        return f"if the file is not {shown}, name its encoding with --encoding, perhaps {names}"


def _rank_encodings(sample: bytes, record: bytes) -> list[str]:
    oddities = {}
    for name in _CANDIDATES:
        texts = (_decode(sample, name), _decode(record, name))
        if None not in texts:
            text = "\n".join(text[:_COMPARED] for text in texts if text)
            oddities[name] = _count_oddities(text)
            if oddities[name][0] > _FORBIDDEN_SHARE * len(text):
                del oddities[name]
    return sorted(oddities, key=lambda name: oddities[name])


def _decode(raw: bytes, encoding: str) -> str | None:
    """Return the text, whose last character may be cut off; None if bytes are invalid."""
    try:
        return codecs.getincrementaldecoder(encoding)().decode(raw)
    except UnicodeDecodeError:
        return None


def _count_oddities(text: str) -> tuple[int, int, int]:
    """Return how many characters do not occur in text, how many are odd where they stand, and how many are Chinese.

    Bytes that happen to be Hangul throughout are Korean, while nearly all pairs of bytes are some Chinese character.
    """
    forbidden = odd = chinese = 0
    before = " "
    for char, after in zip(text, text[1:] + " ", strict=False):
        if (char < " " and char not in _USUAL_CONTROLS) or char >= "\x7f":
            if unicodedata.category(char) in ("Cc", "Co", "Cn"):
                forbidden += 1
            else:
                odd += _is_odd(char, before, after)
                chinese += _is_in(char, _CHINESE)
        before = char
    return forbidden, odd, chinese


def _is_odd(char: str, before: str, after: str) -> bool:
    """Return whether a character is a sign of the wrong encoding, such as a symbol or a capital within a word."""
    if char in _USUAL_SYMBOLS or _is_in(char, _USUAL_BLOCKS):
        return False
    if _is_in(char, _EAST_ASIAN):
        is_mixed = _is_in(char, _CHINESE) and (_is_in(before, _HANGUL) or _is_in(after, _HANGUL))
        return is_mixed or any(near.isascii() and near.isalpha() for near in (before, after))
    return not char.isalpha() or (char.isupper() and before.islower())


def _is_in(char: str, blocks: tuple[tuple[str, str], ...]) -> bool:
    return any(first <= char <= last for first, last in blocks)
