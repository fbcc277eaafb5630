"""SQL: the tables, and one function per statement. Functions take a connection; services own the transaction."""
