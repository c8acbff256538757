"""Lists the installed backends."""
