"""Bodies of requests that are read as streams: from the socket to the readers of items."""
