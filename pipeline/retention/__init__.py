"""Deletion of old batches."""
