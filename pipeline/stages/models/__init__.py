"""Models that `pipeline train` fits."""
