"""Writes the results of batches in bulk to folders, object stores and tables."""
