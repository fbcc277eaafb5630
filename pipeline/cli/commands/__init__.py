"""One file per command; each parses arguments, calls the library, and prints."""
