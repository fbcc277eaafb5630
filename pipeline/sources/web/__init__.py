"""Sources on the web, read through guarded connections."""
