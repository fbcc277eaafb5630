"""Use cases on batches, from submission to results. Each owns its transaction; statements are in `sql`."""
