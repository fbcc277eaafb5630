"""Reading items from files and standard input, one at a time, each either a record or a rejection."""

from pipeline.domain.payload import Record, Rejection
from pipeline.sources.format import InputFormat
from pipeline.sources.reader import read

__all__ = ["InputFormat", "Record", "Rejection", "read"]
