"""Reads items from files and standard input, each as a record or a rejection."""

from pipeline.domain.payload import Record, Rejection
from pipeline.sources.csv_header import HeaderRules
from pipeline.sources.format import InputFormat
from pipeline.sources.read_report import ReadReport
from pipeline.sources.reader import read_items

__all__ = ["HeaderRules", "InputFormat", "ReadReport", "Record", "Rejection", "read_items"]
