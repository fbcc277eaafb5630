"""From Celery's consumer to recorded results: messages gathered into micro-batches, run and acknowledged."""
