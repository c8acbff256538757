"""Real numbers for a layer, and what one backend, asked directly, makes of them."""

import numpy as np

import convback

SHAPES = {"y": "y_shape", "dx": "x_shape", "dw": "w_shape"}


def arrays(geom, dtype):
    """dy, x and w."""
    rng = np.random.default_rng(0)
    x, w, dy = (rng.standard_normal(shape).astype(dtype) for shape in (geom.x_shape, geom.w_shape, geom.y_shape))
    return dy, x, w


def operands(op, geom, dtype):
    dy, x, w = arrays(geom, dtype)
    return {"y": (x, w), "dx": (dy, w), "dw": (dy, x)}[op]


def result(op, geom, dtype, backend, given):
    out = np.full(getattr(geom, SHAPES[op]), np.nan, dtype)
    getattr(convback.get_backend(backend), op)(*given, geom, out)
    return out


def exact(op, geom, given):
    """In float64."""
    return result(op, geom, np.dtype("f8"), "einsum", [a.astype("f8") for a in given])
