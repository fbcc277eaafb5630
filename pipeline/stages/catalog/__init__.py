"""Which classifiers and enrichers exist, and how the steps of a definition are built."""
