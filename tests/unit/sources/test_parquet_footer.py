"""What is read of a Parquet footer is what Arrow reads of it, and no damage ends the process."""

from __future__ import annotations

import io
import re  # noqa: TID251 - a constant pattern
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import InvalidInput
from pipeline.sources.columnar.parquet_footer import ColumnChunk, DamagedFooter, read_chunks
from pipeline.sources.open_source import read_items

TABLE = pa.table(
    {
        "id": [f"k{number}" for number in range(40)],
        "number": range(40),
        "tags": [["a", "b"], None] * 20,
        "nested": [{"text": "x", "lists": [[1.5]]}, None] * 20,
    }
)


def written(table: pa.Table = TABLE, **options: object) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file, **{"row_group_size": 10, "compression": "none", **options})
    return file.getvalue()


def with_footer(footer: bytes) -> io.BytesIO:
    return io.BytesIO(b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "zstd", "data_page_version": "2.0", "write_page_index": True},
        {"use_dictionary": False, "write_statistics": False, "store_schema": False},
        {"row_group_size": 1, "sorting_columns": [pq.SortingColumn(0)]},
    ],
)
def test_chunks_are_those_that_arrow_finds(options: dict[str, object]) -> None:
    content = written(**options)
    metadata = pq.read_metadata(io.BytesIO(content))
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    expected = [
        [
            ColumnChunk(
                column.path_in_schema,
                column.physical_type == "BYTE_ARRAY",
                column.num_values,
                column.total_uncompressed_size,
                column.dictionary_page_offset or column.data_page_offset,
            )
            for column in (group.column(number) for number in range(group.num_columns))
        ]
        for group in groups
    ]
    assert read_chunks(io.BytesIO(content)) == expected


def test_no_damaged_byte_ends_the_process(tmp_path: Path) -> None:
    content = written(TABLE.select(["nested"]), row_group_size=40, store_schema=False)
    size = int.from_bytes(content[-8:-4], "little")
    path = tmp_path / "damaged.parquet"
    refused = 0
    for place in range(len(content) - 8 - size, len(content)):
        path.write_bytes(content[:place] + bytes([(content[place] + 1) % 256]) + content[place + 1 :])
        try:
            list(read_items(path))
        except InvalidInput:
            refused += 1
    assert refused > size / 10


@pytest.mark.parametrize(
    ("footer", "problem"),
    [
        (b"", "longer than the file"),
        (b"\x49\x1c\x19\x1c\x00", "damaged"),
        (b"\x1d\x00", "unknown kind 13"),
        (b"\x18\xff\xff\x03" + b"\x00", "a text that is longer"),
        (b"\x19\xf3\xff\xff\x03", "a list that is longer"),
        (b"\x16" + b"\xff" * 10 + b"\x00", "more than 64 bits"),
        (b"\x19" + b"\x19" * 40, "nested too deeply"),
        (b"\x1c" * 40, "nested too deeply"),
        (b"\x46\x02\x00", "another kind|damaged"),
        (b"\x1b\x01", "damaged"),
    ],
)
def test_a_footer_that_is_no_struct_is_refused(footer: bytes, problem: str) -> None:
    with pytest.raises(DamagedFooter, match=problem):
        read_chunks(with_footer(footer))


def test_a_footer_that_is_too_large_is_refused_unread() -> None:
    file = io.BytesIO()
    file.seek(70 * 1024 * 1024)
    file.write((65 * 1024 * 1024).to_bytes(4, "little") + b"PAR1")
    with pytest.raises(DamagedFooter, match=re.escape("68,157,440 bytes, more than 67,108,864")):
        read_chunks(file)
