"""Text handling shared by classifiers and enrichers."""
