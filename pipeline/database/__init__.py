"""The database engine, the schema, and what every statement shares: locks, leases, time, bulk rows."""
