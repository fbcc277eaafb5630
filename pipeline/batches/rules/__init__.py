"""Pure rules about batches."""
