"""How one event in the log reaches everybody who reads it: pages, downloads, server-sent events, WebSockets."""
