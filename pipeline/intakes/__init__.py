"""Intakes: queues and streams whose messages become items of open batches."""
