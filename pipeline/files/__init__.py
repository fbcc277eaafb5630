"""Writing results and rejections to files and standard output."""

from pipeline.files.json_lines_file import last_seq
from pipeline.files.rejects_file import Rejects, write_rejects
from pipeline.files.result_writer import OutputFormat, Writer, writer

__all__ = ["OutputFormat", "Rejects", "Writer", "last_seq", "write_rejects", "writer"]
