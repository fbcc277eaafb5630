"""Train and evaluate classifiers on labelled data."""
