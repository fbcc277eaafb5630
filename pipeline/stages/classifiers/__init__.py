"""Built-in classifiers: one module each, with `Spec`, `files` and `build`."""
