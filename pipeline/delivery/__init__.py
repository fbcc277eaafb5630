"""Callbacks: what is owed to which URL, and how it is sent, retried, and given up."""
