"""Built-in classifiers: one file each, with `Spec`, `files` and `build`."""
