"""Measures what `auto` chooses among, and has the fastest remembered."""
