"""Where messages come from: one module per protocol."""
