"""Programs around the library: the command and its demo."""
