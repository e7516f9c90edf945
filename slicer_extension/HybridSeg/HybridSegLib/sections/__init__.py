"""The sections of the panel, one a file: they show the state and tell what the user wants."""
