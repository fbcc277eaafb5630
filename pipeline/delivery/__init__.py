"""Callbacks over HTTP: the guard at the socket, one signed request, and the loop that sends what is due."""
