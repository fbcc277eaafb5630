"""Deletes old batches."""
