"""The engine, the schema, and what statements share: dialects, locks, leases, time, rows."""
