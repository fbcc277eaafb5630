"""Classifiers and enrichers behind one small interface, and the runner that calls them."""
