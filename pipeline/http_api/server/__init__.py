"""The server: sockets, the HTTP protocol, and the process that works on batches beside it."""
