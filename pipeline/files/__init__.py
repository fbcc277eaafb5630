"""Writes results and rejections to files and standard output."""

from pipeline.files.json_lines_file import read_last_seq
from pipeline.files.rejects_file import RejectsFile, write_rejects
from pipeline.files.result_writer import OutputFormat, ResultWriter, open_writer

__all__ = ["OutputFormat", "RejectsFile", "ResultWriter", "open_writer", "read_last_seq", "write_rejects"]
