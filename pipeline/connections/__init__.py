"""Connections: servers and stores that the operator names in a file, with secrets that only the environment holds."""
