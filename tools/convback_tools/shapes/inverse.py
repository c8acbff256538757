"""From y back to x: all extents of x that give an extent of y, and the output_padding that each of them needs.

A stride of s forgets up to s - 1 positions at the end, so s extents of x give the same y. A transposed convolution,
whose output has the shape of x, cannot know which of them is meant: output_padding says it (in PyTorch and in ONNX),

    x = (y - 1) * stride + effective_kernel - p_lo - p_hi + output_padding,    output_padding < stride
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from convback import ConvGeometry, ParameterError, ShapeError
from convback.geometry import AXIS_LETTERS, Padding, PerAxis, Shape, effective_kernel, same_padding

MOST = 4096  # extents of an axis that are listed


@dataclass(frozen=True)
class Extent:
    """An extent of x that gives the extent of y on an axis.

    Attributes
    ----------
    padding_lo, padding_hi : int
        Of this x; "same" depends on it.
    output_padding : int
        What a transposed convolution must be given to return this extent.
    default : bool
        Whether it is what a transposed convolution returns when it is told nothing.
    """

    axis: str
    y: int
    x: int
    padding_lo: int
    padding_hi: int
    output_padding: int
    default: bool


class Origin(NamedTuple):
    """The extents of each axis, and the layer whose x has the default ones."""

    extents: list[list[Extent]]
    default: ConvGeometry


def origin(
    y_shape: Sequence[int],
    w_shape: Sequence[int],
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
) -> Origin:
    """All that x may have been.

    Raises
    ------
    ConvbackError
        If a parameter is wrong, or no x gives this y.
    """
    plain = _checked(tuple(y_shape), tuple(w_shape), stride, padding, dilation, groups)
    extents = [_extents(plain, at, y, padding) for at, y in enumerate(y_shape[2:])]
    x = [next((extent.x for extent in axis if extent.default), axis[0].x) for axis in extents]
    return Origin(extents, ConvGeometry((*plain.x_shape[:2], *x), w_shape, stride, padding, dilation, groups))


def _checked(y: Shape, w: Shape, stride: PerAxis, padding: Padding, dilation: PerAxis, groups: int) -> ConvGeometry:
    """The layer with the smallest x that the kernel fits on without padding, so that all parameters are normalised."""
    if len(y) != len(w) or not 3 <= len(w) <= 5:
        raise ShapeError(f"y has shape {y} and w {w}; expected (N, F, *spatial) and (F, C/groups, *kernel)")
    ones = (1,) * len(w)
    tap = ConvGeometry(ones, ones, stride, 0, dilation)  # which fits with any stride and dilation
    reach = map(effective_kernel, w[2:], tap.dilation)
    plain = ConvGeometry((y[0], w[1] * groups, *reach), w, stride, padding, dilation, groups)
    if y[1] != plain.F:
        raise ShapeError(f"y has shape {y}, but w {w} has {plain.F} filters; expected y (N, {plain.F}, *spatial)")
    if min(y[2:]) < 1:
        raise ShapeError(f"y has shape {y}; expected extents of at least 1, as every layer has an output position")
    if max(plain.stride) > MOST:
        raise ParameterError(f"stride is {plain.stride}; as many extents of x give one y, expected at most {MOST}")
    return plain


def _extents(geom: ConvGeometry, at: int, y: int, padding: Padding) -> list[Extent]:
    k, s, d = geom.kernel[at], geom.stride[at], geom.dilation[at]
    letter, reach = AXIS_LETTERS[-geom.rank :][at], effective_kernel(k, d)
    found = []
    if padding in ("same", "same_lower"):
        for x in range((y - 1) * s + 1, y * s + 1):
            lo, hi = same_padding(x, k, s, d, extra_first=padding == "same_lower")
            found.append(Extent(letter, y, x, lo, hi, (x + lo + hi - reach) % s, default=x == y * s))
        return found
    lo, hi = geom.padding[at]
    for more in range(s):
        x = (y - 1) * s + reach - lo - hi + more
        if x >= 0:
            found.append(Extent(letter, y, x, lo, hi, more, default=more == 0))
    if not found:
        raise ShapeError(f"spatial axis {at}: no x gives {y} outputs; padding {lo} + {hi} alone gives more")
    return found
