"""Reads one file: decompresses it or takes it out of its archive, and yields its items by its format."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial

from pipeline.domain.payload import Record, Rejection
from pipeline.errors import InvalidInput
from pipeline.sources import file_kinds
from pipeline.sources.agreement import Agreement
from pipeline.sources.archive import Member, open_zip, read_tar, read_zip
from pipeline.sources.byte_meter import ByteMeter, MeteredStream
from pipeline.sources.columnar.arrow_file import read_arrow
from pipeline.sources.columnar.parquet import read_parquet
from pipeline.sources.compression import decompressed, detect_compression
from pipeline.sources.excel.workbook import is_workbook, read_workbook
from pipeline.sources.file_position import FilePosition
from pipeline.sources.format import BINARY_FORMATS, InputFormat, format_from_media_type, format_from_name
from pipeline.sources.head_stream import HeadStream
from pipeline.sources.read_options import ReadOptions
from pipeline.sources.read_report import ReadReport
from pipeline.sources.source_file import SourceFile
from pipeline.sources.text.read_text import TextOrigin, read_text
from pipeline.sources.unused_options import refuse_unused

Items = Iterator[Record | Rejection]


@dataclass(frozen=True, slots=True)
class Reading:
    """What the files of one source share while they are read.

    Args:
        options: how to read them; `format` is an `InputFormat`.
        agreement: what they must have in common.
        meter: counts the bytes of the file that is being read.
    """

    options: ReadOptions
    report: ReadReport
    agreement: Agreement
    meter: ByteMeter


def read_file(file: SourceFile, reading: Reading, position: FilePosition) -> Items:
    """Yield the items of a file, or of each member if it is an archive.

    Raises:
        InvalidInput, SourceChanged, SourceUnavailable: see `ItemSource.read`.
    """
    with ExitStack() as stack:
        head_stream = HeadStream(_metered(stack.enter_context(file.open_stream()), reading.meter))
        stream = head_stream.buffered()
        head = stream.peek()
        if head.startswith(file_kinds.ZIP_MAGIC) and file.can_seek:
            yield from _read_packed(file, reading, position)
            return
        compression, is_member = detect_compression(head), isinstance(file, Member)
        if compression is None:
            plain = partial(_open_plain, file, reading)
            origin = TextOrigin(file.name, head_stream, plain, file.can_seek, is_member=is_member)
        else:
            reading.report.note("compression", compression)
            unpacking = decompressed(stream, compression, file.name, reading.options.max_ratio)
            head_stream = HeadStream(stack.enter_context(unpacking))
            reopen = partial(_open_decompressed, file, reading)
            origin = TextOrigin(file.name, head_stream, reopen, False, is_decompressed=True, is_member=is_member)
            stream = head_stream.buffered()
        stack.callback(origin.close)
        yield from _read_unpacked(file, stream, origin, reading, position)


def _read_unpacked(
    file: SourceFile, stream: io.BufferedReader, origin: TextOrigin, reading: Reading, position: FilePosition
) -> Items:
    """Read what is no zip archive, after decompression."""
    head = stream.peek()
    if file_kinds.is_tar(head):
        _check_nesting(file)
        reading.report.note("archive", "tar")
        members = read_tar(stream, origin.reopen, file.name, reading.options.member)
        yield from _read_members(members, reading, position)
        return
    format = _format_of(file, head, reading)
    if format in BINARY_FORMATS and not origin.is_decompressed:
        yield from _read_binary(format, file, stream, head, reading, position)
    else:
        yield from read_text(stream, origin, format, reading.options, reading.report, reading.agreement, position)


def _format_of(file: SourceFile, head: bytes, reading: Reading) -> InputFormat | None:
    """Return the format that is given, or that of the name, or of what the server says; None: that of the content."""
    if reading.options.format is not None:
        return InputFormat(reading.options.format)
    named = format_from_name(file.path_name, file.name) or format_from_media_type(file.media_type)
    return named or file_kinds.binary_format(head)


def _read_binary(
    format: InputFormat,
    file: SourceFile,
    stream: io.BufferedReader,
    head: bytes,
    reading: Reading,
    position: FilePosition,
) -> Items:
    if file_kinds.binary_format(head) is not format:
        file_kinds.refuse_binary(head, file.name, None)
        file_kinds.refuse_markup(head, file.name)
    refuse_unused(reading.options, format, file.name, is_member=isinstance(file, Member))
    reading.agreement.check_format(file.name, format)
    reading.report.note("format", format)
    options, check_columns = reading.options, partial(reading.agreement.check_columns, file.name)
    if format is InputFormat.ARROW and head.startswith(file_kinds.ARROW_STREAM_MAGIC):
        yield from read_arrow(stream, file.name, options, position, check_columns, is_stream=True)
        return
    if not file.can_seek:
        raise cannot_seek(format, file)
    with file.open_random() as random:
        if format is InputFormat.ARROW:
            yield from read_arrow(random, file.name, options, position, check_columns, is_stream=False)
        elif format is InputFormat.XLSX:
            yield from read_workbook(random, file.name, options, reading.report, position, check_columns)
        else:
            yield from read_parquet(random, file.name, options, reading.report, position, check_columns)


def cannot_seek(format: InputFormat, file: SourceFile) -> InvalidInput:
    """Return the error for a format that cannot be read in one go."""
    what = file.name if file.name == "standard input" else f"the pipe {file.name}"
    return InvalidInput(f"{format.title()} cannot be read from {what}; save it to a file and give its name")


def _read_packed(file: SourceFile, reading: Reading, position: FilePosition) -> Items:
    """Read a workbook, or the members of a zip archive."""
    with file.open_random() as opened:
        size = opened.seek(0, io.SEEK_END)
        opened.seek(0)
        random = _metered(opened, reading.meter)
        if is_workbook(open_zip(random, file.name).namelist(), file.name):
            random.seek(0)
            given = reading.options.format
            if given not in (None, InputFormat.XLSX):
                raise InvalidInput(f"{file.name} is an Excel workbook, not {given}; leave out --format")
            refuse_unused(reading.options, InputFormat.XLSX, file.name, is_member=isinstance(file, Member))
            reading.agreement.check_format(file.name, InputFormat.XLSX)
            reading.report.note("format", InputFormat.XLSX)
            check_columns = partial(reading.agreement.check_columns, file.name)
            yield from read_workbook(random, file.name, reading.options, reading.report, position, check_columns)
            return
        _check_nesting(file)
        reading.report.note("archive", "zip")
        members = read_zip(random, size, file.name, reading.options.member, reading.options.max_ratio)
        yield from _read_members(members, reading, position)


def _read_members(members: Iterator[Member], reading: Reading, position: FilePosition) -> Items:
    after = position.after
    # Their bytes are not those of the file, which are counted where the archive is read.
    inner = replace(reading, meter=ByteMeter())
    for number, member in enumerate(members):
        if after is not None and number < after.member:
            continue
        is_first = after is not None and number == after.member
        yield from read_file(
            member, inner, replace(position, member=number, file=member.name, after=after if is_first else None)
        )


def _check_nesting(file: SourceFile) -> None:
    if isinstance(file, Member):
        raise InvalidInput(f"{file.name} is an archive inside an archive; unpack it, and give a file from it")


def _metered(stream: io.BufferedReader, meter: ByteMeter, start: int = 0) -> io.BufferedReader:
    meter.count = start
    return MeteredStream(stream, meter).buffered()


@contextmanager
def _open_plain(file: SourceFile, reading: Reading, offset: int = 0) -> Iterator[io.BufferedReader]:
    with file.open_stream(offset) as stream:
        yield _metered(stream, reading.meter, offset)


@contextmanager
def _open_decompressed(file: SourceFile, reading: Reading, offset: int = 0) -> Iterator[io.BufferedReader]:
    with ExitStack() as stack:
        stream = _metered(stack.enter_context(file.open_stream()), reading.meter)
        kind = detect_compression(stream.peek())
        if kind is None:
            raise InvalidInput(f"{file.name} has changed while it was read")
        yield stack.enter_context(decompressed(stream, kind, file.name, reading.options.max_ratio))
