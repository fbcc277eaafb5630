"""Guards of batches, and their settings."""
