"""Recognizes files that hold no items, such as web pages and archives, so that the error can say what they are."""

from __future__ import annotations

import string

from pipeline.errors import InvalidInput
from pipeline.sources.compression import detect_compression
from pipeline.sources.format import InputFormat
from pipeline.sources.text.encodings import guess_escaped, guess_unmarked

#: Bytes that are looked at.
_SNIFFED = 512
_SHOWN = 40

_AS_FILE = "give it as a file"
_ARCHIVE = "give it as a file"
_UNPACK = "unpack it, and give a file from it"
_EXPORT = "save it as CSV"
_NOT_DATA = "give a file with items"

_TWICE = "decompress it once"
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
#: A stream in an Office document that a password protects.
_ENCRYPTED_PACKAGE = "EncryptedPackage".encode("utf-16-le")

#: What files that begin with these bytes are, and what to do instead.
_SIGNATURES = (
    (b"%PDF-", "a PDF document", _NOT_DATA),
    (_OLE, "a file of Excel or another Office program before 2007", _EXPORT),
    (b"\x1f\x8b", "compressed twice, with gzip last", _TWICE),
    (b"\x28\xb5\x2f\xfd", "compressed twice, with zstd last", _TWICE),
    (b"\xfd7zXZ\x00", "compressed twice, with xz last", _TWICE),
    (b"BZh91AY&SY", "compressed twice, with bzip2 last", _TWICE),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (b"Obj\x01", "an Avro file", "save it as Parquet or JSON Lines"),
    (b"SQLite format 3\x00", "a SQLite database", "export a table as CSV"),
    (b"{\\rtf", "a document in rich text", "save it as plain text"),
    (b"\x89PNG\r\n\x1a\n", "an image", _NOT_DATA),
    (b"\xff\xd8\xff", "an image", _NOT_DATA),
    (b"GIF8", "an image", _NOT_DATA),
)
PARQUET_MAGIC = b"PAR1"
ARROW_FILE_MAGIC = b"ARROW1"
#: The first message of a stream of Arrow begins with this, and its length.
ARROW_STREAM_MAGIC = b"\xff\xff\xff\xff"
ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
_BINARY_MAGIC = (
    (PARQUET_MAGIC, InputFormat.PARQUET),
    (ARROW_FILE_MAGIC, InputFormat.ARROW),
    (ARROW_STREAM_MAGIC, InputFormat.ARROW),
)
_PAGE_TAGS = ("<html", "<head", "<body", "<table", "<meta", "<style", "<script", "<title", "<div")
#: Kinds of zip archives by what stands near their beginning.
_ZIP_KINDS = (
    (b"xl/", "an Excel workbook", _AS_FILE),
    (b"opendocument.spreadsheet", "an OpenDocument spreadsheet", _EXPORT),
    (b"word/", "a Word document", _NOT_DATA),
    (b"[Content_Types].xml", "an Excel workbook or another Office document", _AS_FILE),
)


def is_tar(head: bytes) -> bool:
    """Return whether a file is a tar archive."""
    return head[257:262] == b"ustar"


def is_readable(head: bytes) -> bool:
    """Return whether a file is compressed, an archive, or of a format without text, as its first bytes say."""
    return (
        head.startswith(ZIP_MAGIC)
        or detect_compression(head) is not None
        or is_tar(head)
        or binary_format(head) is not None
    )


def binary_format(head: bytes) -> InputFormat | None:
    """Return the format of a file that is no text, None if it is text, or another kind of file."""
    return next((format for magic, format in _BINARY_MAGIC if head.startswith(magic)), None)


def refuse_binary(head: bytes, name: str, encoding: str | None) -> None:
    """Refuse a file that is not text, or whose encoding must be named.

    Args:
        head: the first bytes, after decompression.
        encoding: what the user named, or a byte order mark indicates.

    Raises:
        InvalidInput: says what the file is, and what to do.
    """
    format = binary_format(head)
    if format is not None:
        raise InvalidInput(
            f"{name} is {format.title()}, which cannot be read from standard input or with compression; save it to a "
            f"plain file and give its name with --format {format}"
        )
    text, head = head, head[:_SNIFFED]
    if head.startswith(_OLE) and _ENCRYPTED_PACKAGE in text:
        raise InvalidInput(f"{name} is encrypted; open it in Excel, and save it without a password")
    if head.startswith(ZIP_MAGIC):
        kinds = [(kind, advice) for mark, kind, advice in _ZIP_KINDS if mark in head]
        kind, advice = kinds[0] if kinds else ("a zip archive", _ARCHIVE)
        raise InvalidInput(f"{name} is {kind}: {advice}")
    for signature, kind, advice in _SIGNATURES:
        if head.startswith(signature):
            raise InvalidInput(f"{name} is {kind}: {advice}")
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
