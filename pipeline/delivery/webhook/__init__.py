"""Sends webhooks: signs requests, guards addresses, and speaks HTTP/1.1 to receivers."""
