"""A backend that fails to import."""

raise RuntimeError("the library libmissing.so.7 is not there")
