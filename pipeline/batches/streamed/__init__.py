"""Submissions of more than one chunk: stored as they are read, and resumed after an interruption."""
