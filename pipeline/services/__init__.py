"""Use cases: one file a verb. Each owns its transaction; SQL is in `storage`, rules are in `domain`."""
