"""Writing results and rejections to files and standard output."""

from pipeline.export.lines import last_seq
from pipeline.export.rejects import Rejects, write_rejects
from pipeline.export.writer import Format, Writer, writer

__all__ = ["Format", "Rejects", "Writer", "last_seq", "write_rejects", "writer"]
