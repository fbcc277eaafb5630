"""Writes results and rejections to files and standard output."""

from pipeline.files.json_lines_file import read_last_seq
from pipeline.files.layout import Layout
from pipeline.files.output_format import OutputFormat
from pipeline.files.rejects_file import RejectsFile, write_rejects
from pipeline.files.result_writer import ResultWriter, open_writer

__all__ = ["Layout", "OutputFormat", "RejectsFile", "ResultWriter", "open_writer", "read_last_seq", "write_rejects"]
