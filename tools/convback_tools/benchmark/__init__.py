"""Times verified backends side by side."""
