"""Pure rules of execution: which items may be released next."""
