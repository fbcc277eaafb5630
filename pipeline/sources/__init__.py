"""Reads items from files, URLs and standard input, each as a record or a rejection."""

from pipeline.domain.payload import Record, Rejection
from pipeline.sources.format import InputFormat
from pipeline.sources.item_source import ItemSource, ReadProgress
from pipeline.sources.open_source import open_source, read_items
from pipeline.sources.read_options import ReadOptions
from pipeline.sources.read_report import ReadReport
from pipeline.sources.text.csv_header import HeaderRules
from pipeline.sources.text.table_options import TableOptions

__all__ = [
    "HeaderRules",
    "InputFormat",
    "ItemSource",
    "ReadOptions",
    "ReadProgress",
    "ReadReport",
    "Record",
    "Rejection",
    "TableOptions",
    "open_source",
    "read_items",
]
