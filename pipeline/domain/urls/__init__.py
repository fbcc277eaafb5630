"""URLs that lead somewhere other than to a receiver of callbacks: their grammar, and which are allowed."""
