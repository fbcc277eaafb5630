"""The presentation of batches, items, deliveries and endpoints, in text and in JSON."""
