"""Trains and evaluates classifiers on labelled data."""
