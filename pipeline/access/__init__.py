"""Who may use the HTTP API: keys, the tenants they belong to, sessions of the web page and tokens of streams."""
