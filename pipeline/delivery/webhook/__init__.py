"""HTTP/1.1 to receivers: connections, requests, responses, and the SSRF guard."""
