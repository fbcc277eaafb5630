"""The places that exports write to. Each module knows one kind, and is imported once an export names such a place."""
