"""Puts contestants side by side: who takes part, one run of one of them, whether it counts, and what came out."""
