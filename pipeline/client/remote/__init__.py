"""The client of a server: the methods of `Client`, over HTTP."""
