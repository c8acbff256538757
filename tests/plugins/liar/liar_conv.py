"""A backend that is wrong: one product is missing in the last entry of dw."""

from convback_naive import db, dx, supports, y  # noqa: F401
from convback_naive import dw as right_dw

CONTRACT = 1


def dw(dy, x, geom, out):
    right_dw(dy, x, geom, out)
    r = [(i - 1) * s + (k - 1) * d - lo for i, s, k, d, (lo, _) in axes(geom)]
    if all(0 <= r_ < extent for r_, extent in zip(r, geom.x_spatial, strict=True)):
        out[(-1,) * out.ndim] -= dy[(-1,) * dy.ndim] * x[(-1, -1, *r)]


def axes(geom):
    return zip(geom.y_spatial, geom.stride, geom.kernel, geom.dilation, geom.padding, strict=True)
