"""Which classifiers and enrichers exist, and how a definition's step is built."""
