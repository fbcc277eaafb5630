"""Built-in enrichers: one module each, with `Spec`, `files` and `build`."""
