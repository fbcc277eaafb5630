"""Built-in enrichers: one file each, with `Spec`, `files` and `build`."""
