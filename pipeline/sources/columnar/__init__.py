"""Reads Parquet and Arrow files by record batches."""
