"""Items that are the rows of a query: any database that SQLAlchemy has a driver for, read only."""
