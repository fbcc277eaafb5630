"""Guards of batches: they count what fails, and stop a batch when too much does."""
