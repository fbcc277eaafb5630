"""Reduces a text to what is written in a language, without addresses, code, numbers and symbols."""

from __future__ import annotations

# The patterns are constants that never scan a run of characters twice, and RE2 is an optional package.
import re  # noqa: TID251

# What an address may consist of. Text in a script without spaces may follow at once, and is not part of it.
_UNSPACED = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\U0003ffff"
_ADDRESS = rf"[^\s<>\"{_UNSPACED}]"
_LATIN = r"A-Za-z0-9\u00c0-\u024f"

_CODE = r"```(?:.|\n)*?(?:```|\Z)|`[^`\n]+`"
_MARKUP = r"</?[A-Za-z!][^<>]{0,200}>|&(?:[A-Za-z]{2,10}|\#\d{1,7}|\#x[0-9A-Fa-f]{1,6});"
# These begin where a word does.
_URL = (
    rf"[A-Za-z][A-Za-z0-9+.-]{{1,20}}://(?:[{_UNSPACED}]+\.)*(?:{_ADDRESS}+|(?<=\.)[{_UNSPACED}]+)|"
    rf"(?:[Ww]{{3}}\.|(?:mailto|tel|sms|sips?):|data:[a-z]+/){_ADDRESS}+"
)
# With the path of a repository, as in "git@example.com:org/project.git".
_EMAIL = rf"(?<![._%+'-])[{_LATIN}._%+'-]+@[{_LATIN}.-]*(?::[A-Za-z0-9_.~-]*/[A-Za-z0-9_.~/-]*)?"
_MENTION = r"@[A-Za-z0-9_]+"
_FILE_ENDING = r"(?i:pdf|docx?|xlsx?|pptx?|od[ts]|csv|txt|rtf|html?|xml|json|zip|png|jpe?g|gif|heic|mp[34]|eml|msg)\b"
_HOST = (
    rf"(?<![.-])(?:[{_LATIN}_-]+\.)+"
    rf"(?:(?:com|net|org|info|edu|gov|io|dev|app)(?![A-Za-z])(?:/{_ADDRESS}*)?|[a-z]{{2,24}}/{_ADDRESS}*|{_FILE_ENDING})"
)
_SUBDOMAIN = rf"(?<![.-])(?:[{_LATIN}-]{{2,}}\.){{2,}}[a-z]{{2,3}}(?![{_LATIN}])"
_PATH = r"(?<![/\\.])(?:[A-Za-z]:)?(?:[\\/][A-Za-z0-9_.-]+){2,}"
_IDENTIFIER = r"[A-Za-z0-9]+(?:_[A-Za-z0-9]+)+(?:\(\))?"
# Numbers with the letters that are written onto them, and the signs between them: "A1B2", "5kg", "12:30", "1.2.3".
_NUMBER = r"[A-Za-z]*[0-9][A-Za-z0-9]*(?:[.,:'/-]{1,2}[A-Za-z]*[0-9][A-Za-z0-9]*)*"
_NOT_PROSE = re.compile(
    f"{_CODE}|{_MARKUP}|(?<![{_LATIN}_])(?:{_URL}|{_EMAIL}|{_MENTION}|{_HOST}|{_SUBDOMAIN}|{_PATH}|{_IDENTIFIER}|{_NUMBER})"
)
# What any of these contains. Most texts contain none of it, and this is found out ten times as fast.
_TRACE = re.compile(r"[`<&@/\\_0-9]")
_DOTTED = re.compile(r"\.[A-Za-z]")

_SYMBOLS = re.compile(
    r"[\d$+<=>^|~`\u00a2-\u00a9\u00ac\u00ae-\u00b4\u00b8\u00b9\u00bc-\u00be\u00d7\u00f7\u2070-\u209f\u20a0-\u2bff"
    r"\u3200-\u33ff\ue000-\uf8ff\ufffc\ufffd\U0001f000-\U0001faff\U000e0000-\U0010ffff]+"
)
# Smileys, bullets and brackets around what was removed. A question mark may stand alone, as in French.
# Written so that it begins with a character that is rare.
_STRAY = re.compile(r"[^\w\s](?<!\S.)(?:(?<=[^?!.,;:])|[^\w\s]*?[^\w\s?!.,;:])[^\w\s]*(?!\S)")


def keep_prose(text: str) -> str:
    """Return a normalized text without code, markup, addresses, numbers and symbols, in one line."""
    if _TRACE.search(text) or _DOTTED.search(text):
        text = _NOT_PROSE.sub(" ", text)
    return " ".join(_STRAY.sub("", _SYMBOLS.sub(" ", text)).split())
