"""Pure decisions of exports: which results a part has, and what its file is called."""
