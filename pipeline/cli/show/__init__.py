"""How batches, items, deliveries and endpoints look on a terminal and in JSON."""
