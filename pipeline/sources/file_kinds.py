"""Recognizes files that hold no items, such as web pages and archives, so that the error can say what they are."""

from __future__ import annotations

import string
from pathlib import Path
from typing import BinaryIO

from pipeline.errors import InvalidInput
from pipeline.sources.encodings import UTF8, guess_escaped, guess_unmarked

#: Bytes that are looked at.
_SNIFFED = 512
_SHOWN = 40

_ARCHIVE = "unpack it, and give a file from it"
_EXPORT = "save it as CSV"
_NOT_DATA = "give a file with items"

_GZIP = b"\x1f\x8b"
#: What files that begin with these bytes are, and what to do instead.
_SIGNATURES = (
    (b"%PDF-", "a PDF document", _NOT_DATA),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a file of Excel or another Office program before 2007", _EXPORT),
    (_GZIP, "compressed with gzip twice", "decompress it once"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "decompress it, or compress it with gzip"),
    (b"\xfd7zXZ\x00", "compressed with xz", "decompress it, or compress it with gzip"),
    (b"BZh91AY&SY", "compressed with bzip2", "decompress it, or compress it with gzip"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _ARCHIVE),
    (b"Rar!\x1a\x07", "a RAR archive", _ARCHIVE),
    (b"ARROW1\x00\x00", "an Arrow file", "save it as Parquet"),
    (b"Obj\x01", "an Avro file", "save it as Parquet or JSON Lines"),
    (b"SQLite format 3\x00", "a SQLite database", "export a table as CSV"),
    (b"{\\rtf", "a document in rich text", "save it as plain text"),
    (b"\x89PNG\r\n\x1a\n", "an image", _NOT_DATA),
    (b"\xff\xd8\xff", "an image", _NOT_DATA),
    (b"GIF8", "an image", _NOT_DATA),
)
_PARQUET = b"PAR1"
_PAGE_TAGS = ("<html", "<head", "<body", "<table", "<meta", "<style", "<script", "<title", "<div")
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
#: Kinds of zip archives by what stands near their beginning.
_ZIP_KINDS = (
    (b"xl/", "an Excel workbook", _EXPORT),
    (b"opendocument.spreadsheet", "an OpenDocument spreadsheet", _EXPORT),
    (b"word/", "a Word document", _NOT_DATA),
    (b"[Content_Types].xml", "an Excel workbook or another Office document", _EXPORT),
)


def refuse_other_file(source: Path | BinaryIO, name: str) -> None:
    """Refuse a file that should be Parquet, and that is recognized as something else.

    Args:
        source: its path, or a stream at its beginning, where it is left.
        name: of the file in messages.

    Raises:
        InvalidInput: says what the file is, and what to do; or it cannot be read.
    """
    try:
        if isinstance(source, Path):
            with source.open("rb") as file:
                head = file.read(_SNIFFED)
        else:
            head = source.read(_SNIFFED)
            source.seek(0)
    except OSError as error:
        raise InvalidInput(f"cannot read {name}: {error.strerror or error}") from None
    if head.startswith(_GZIP):
        raise InvalidInput(f"{name} is compressed with gzip, which Parquet cannot be; decompress it")
    if not head.startswith(_PARQUET):
        refuse_binary(head, name, None)
        refuse_markup(head, name)


def refuse_other_kind(path: Path) -> None:
    """Refuse a file without a known suffix that is recognized as something that no format can read.

    Raises:
        InvalidInput: says what the file is, and what to do.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_SNIFFED)
    except OSError:
        # Opening it to read it says why.
        return
    if not head.startswith((_GZIP, _PARQUET)):
        refuse_binary(head, str(path), UTF8)
        refuse_markup(head, str(path))


def refuse_binary(head: bytes, name: str, encoding: str | None) -> None:
    """Refuse a file that is not text, or whose encoding must be named.

    Args:
        head: the first bytes, after decompression.
        encoding: what the user named, or a byte order mark indicates.

    Raises:
        InvalidInput: says what the file is, and what to do.
    """
    if head.startswith(_PARQUET):
        raise InvalidInput(
            f"{name} is Parquet, which cannot be read from standard input or with gzip; save it to a plain file and "
            "give its name with --format parquet"
        )
    text, head = head, head[:_SNIFFED]
    if head.startswith(_ZIP):
        kinds = [(kind, advice) for mark, kind, advice in _ZIP_KINDS if mark in head]
        kind, advice = kinds[0] if kinds else ("a zip archive", _ARCHIVE)
        raise InvalidInput(f"{name} is {kind}: {advice}")
    for signature, kind, advice in _SIGNATURES:
        if head.startswith(signature):
            raise InvalidInput(f"{name} is {kind}: {advice}")
    if head[257:262] == b"ustar":
        raise InvalidInput(f"{name} is a tar archive: {_ARCHIVE}")
    if encoding is None:
        _refuse_unnamed(text, name)


def _refuse_unnamed(text: bytes, name: str) -> None:
    """Refuse a text in an encoding that is recognized, and that must be named."""
    unmarked = guess_unmarked(text[:_SNIFFED])
    if unmarked is not None:
        family = unmarked[:6].upper()
        raise InvalidInput(f"{name} looks like {family} without a mark: --encoding {unmarked}")
    escaped = guess_escaped(text)
    if escaped is not None:
        raise InvalidInput(f"{name} looks like text in {escaped}: --encoding {escaped}")


def _has_namespace(text: str) -> bool:
    """Return whether a text begins with an XML element that declares a namespace."""
    tag = text.partition(">")[0]
    return tag.startswith("<") and " xmlns" in tag.replace("\n", " ")


def refuse_markup(head: bytes, name: str) -> None:
    """Refuse a web page, an error of an object store, and other XML.

    Args:
        head: the first bytes of the text as UTF-8.

    Raises:
        InvalidInput: says what the text is, and what to do.
    """
    text = head[:_SNIFFED].decode("utf-8", "replace").lstrip()
    lowered = text.lower()
    is_page = lowered.startswith(_PAGE_TAGS)
    if not is_page and not lowered.startswith(("<!", "<?xml", "<error>", "<error ")) and not _has_namespace(lowered):
        return
    shown = "".join(char for char in text.partition(">")[0] if char.isprintable())[:_SHOWN]
    if is_page or "<!doctype html" in lowered or "<html" in lowered:
        raise InvalidInput(f"{name} is a web page, not data (it begins with {shown}); is a login needed?")
    code = text.partition("<Code>")[2].partition("</Code>")[0]
    if "<error" in lowered and code:
        known = "".join(char for char in code if char in string.ascii_letters)[:_SHOWN]
        raise InvalidInput(f"{name} is an S3 error: {known}")
    raise InvalidInput(f"{name} is XML, not data that can be read (it begins with {shown}); convert it to JSON Lines")
