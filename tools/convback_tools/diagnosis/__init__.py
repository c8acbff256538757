"""Names the mistake in a gradient that somebody computed wrongly."""
