"""A backend that breaks the contract in three ways: an old version, a missing function, a swapped signature."""

CONTRACT = 0


def supports(op, geom, dtype):
    return None


def dx(w, dy, geom, out):
    """The operands are the wrong way round."""


def dw(dy, x, geom, out):
    """Does nothing."""
