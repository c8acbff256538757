"""The geometry of a convolution layer: every shape formula and every check of a parameter is in this file.

One alphabet, here and everywhere else (upper case is the extent)::

    n batch · f filter · c channel · h,i,j output position · m,k,l kernel tap · q,r,s input position
    G groups · C' = C/G channels and F' = F/G filters of a group · p leading padding

One and two dimensions use the last one and two letters of each triple. On every axis a tap meets an input at

    r = i * stride + k * dilation - p

and the output has as many positions as fit:

    I = (R + p_lo + p_hi - ((K - 1) * dilation + 1)) // stride + 1
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np

from convback.errors import ParameterError, ShapeError, did_you_mean, quoted

Shape: TypeAlias = tuple[int, ...]
PerAxis: TypeAlias = int | Sequence[int]
Padding: TypeAlias = int | str | Sequence[int] | Sequence[Sequence[int]]
Pairs: TypeAlias = tuple[tuple[int, int], ...]

PADDING_WORDS = ("valid", "same", "same_lower", "full")
AXIS_LETTERS = "dhw"  # depth, height, width: the last `rank` of them, as in the names kh, sw, pd

# Positions are computed as i * stride + k * dilation in 64-bit integers. Both products stay below the padded extent.
_LARGEST = 2**62


def effective_kernel(kernel: int, dilation: int) -> int:
    """Extent that a dilated kernel covers: (K - 1) * dilation + 1."""
    return (kernel - 1) * dilation + 1


def output_extent(x: int, kernel: int, stride: int, lo: int, hi: int, dilation: int) -> int:
    """Number of output positions on one axis (formula at the top of this module)."""
    return (x + lo + hi - effective_kernel(kernel, dilation)) // stride + 1


def same_padding(x: int, kernel: int, stride: int, dilation: int, extra_first: bool) -> tuple[int, int]:
    """Padding that gives ceil(x / stride) outputs; the odd one goes to the end, or to the start if `extra_first`."""
    outputs = -(-x // stride)
    total = max(0, (outputs - 1) * stride + effective_kernel(kernel, dilation) - x)
    small, large = total // 2, total - total // 2
    return (large, small) if extra_first else (small, large)


@dataclass(frozen=True, init=False)
class ConvGeometry:
    """A convolution layer without its numbers: shapes, stride, padding, dilation and groups, checked and normalised.

    Two geometries are equal, and hash equally, when they describe the same problem: `padding="same"` equals the pairs
    that it stands for, and `stride=2` equals `stride=(2, 2)`.

    Parameters
    ----------
    x_shape : sequence of int
        (N, C, *spatial), with one, two or three spatial axes. Extents may be zero.
    w_shape : sequence of int
        (F, C/groups, *kernel). Kernel extents are at least 1.
    stride, dilation : int or sequence of int
        At least 1; one number for all axes, or one an axis. A dilation of 1 means none.
    padding : int, str or sequence
        Zeros around x: a number for all sides, one number an axis, one (lo, hi) pair an axis, or a word: "valid"
        (none), "same" (the output has ceil(x / stride) positions, an odd zero goes to the end), "same_lower" (to the
        start), "full" (the effective kernel less one, on all sides).
    groups : int
        Number of groups that C and F are divided into.

    Attributes
    ----------
    N, C, F, groups, rank : int
        Extents of batch, channels and filters; groups; number of spatial axes.
    x_shape, w_shape, y_shape : tuple of int
    x_spatial, kernel, y_spatial : tuple of int
        The spatial part of the three shapes.
    stride, dilation : tuple of int
    padding : tuple of (lo, hi) pairs

    Raises
    ------
    ShapeError
        Shapes of wrong rank or that do not fit together, a kernel that exceeds the padded input.
    ParameterError
        A stride, padding, dilation or groups of wrong form or value.
    """

    x_shape: Shape
    w_shape: Shape
    stride: Shape
    padding: Pairs
    dilation: Shape
    groups: int
    y_shape: Shape = field(compare=False)

    def __init__(
        self,
        x_shape: Sequence[int],
        w_shape: Sequence[int],
        stride: PerAxis = 1,
        padding: Padding = 0,
        dilation: PerAxis = 1,
        groups: int = 1,
    ) -> None:
        x = _shape("x_shape", x_shape, "(N, C, *spatial)")
        w = _shape("w_shape", w_shape, "(F, C/groups, *kernel)")
        if len(x) != len(w):
            raise ShapeError(
                f"x_shape {x} has {len(x)} axes and w_shape {w} has {len(w)}; both need two more than space has"
            )
        rank = len(x) - 2
        if min(w[2:]) < 1:
            raise ShapeError(f"w_shape is {w}; kernel extents must be at least 1")
        groups = _integer("groups", groups, 1)
        _check_channels(x, w, groups)
        stride = _per_axis("stride", stride, rank, 1)
        dilation = _per_axis("dilation", dilation, rank, 1)
        pairs = _padding(padding, x[2:], w[2:], stride, dilation)
        y_spatial = tuple(map(_checked_extent, range(rank), x[2:], w[2:], stride, pairs, dilation))
        y = (x[0], w[0], *y_spatial)
        for name, shape in (("x_shape", x), ("w_shape", w), ("y_shape", y)):
            _check_addressable(name, shape)
        values: dict[str, Any] = {
            "x_shape": x, "w_shape": w, "y_shape": y, "stride": stride, "padding": pairs, "dilation": dilation,
            "groups": groups,
        }  # fmt: skip
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def N(self) -> int:
        return self.x_shape[0]

    @property
    def C(self) -> int:
        return self.x_shape[1]

    @property
    def F(self) -> int:
        return self.w_shape[0]

    @property
    def rank(self) -> int:
        return len(self.x_shape) - 2

    @property
    def x_spatial(self) -> Shape:
        return self.x_shape[2:]

    @property
    def kernel(self) -> Shape:
        return self.w_shape[2:]

    @property
    def y_spatial(self) -> Shape:
        return self.y_shape[2:]

    @property
    def macs(self) -> int:
        """Multiplications of one gradient, products with padding included: N F C' times outputs times taps."""
        return math.prod(self.y_shape) * math.prod(self.w_shape[1:])

    @property
    def is_empty(self) -> bool:
        """Whether there is no product at all (N, C, F or an extent of x is zero), so that every sum is exactly zero."""
        return 0 in self.x_shape or self.F == 0

    def as3d(self) -> ConvGeometry:
        """The same problem with leading spatial axes of extent 1, so that a kernel need only know three axes."""
        return _as3d(self)


@lru_cache(1024)  # a backend, and whoever checks it, ask for the same one
def _as3d(geom: ConvGeometry) -> ConvGeometry:
    ones = (1,) * (3 - geom.rank)
    return ConvGeometry(
        geom.x_shape[:2] + ones + geom.x_spatial,
        geom.w_shape[:2] + ones + geom.kernel,
        ones + geom.stride,
        ((0, 0),) * len(ones) + geom.padding,
        ones + geom.dilation,
        geom.groups,
    )


def _integer(name: str, value: Any, least: int, error: type[ShapeError | ParameterError] = ParameterError) -> int:
    """`value` as a plain int of at least `least`; True, 1.0 and "1" are refused."""
    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise error(f"{name} is {quoted(value)} ({type(value).__name__}); expected an integer") from None
    if not least <= number < _LARGEST:
        raise error(f"{name} is {quoted(number)}; expected an integer of at least {least} and below 2**62")
    return number


def _is_sequence(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.ndim > 0
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _shape(name: str, value: Any, layout: str) -> Shape:
    if not _is_sequence(value):
        raise ShapeError(f"{name} is {quoted(value)}; expected a whole shape, {layout}, such as array.shape")
    shape = tuple(_integer(f"{name}[{axis}]", extent, 0, ShapeError) for axis, extent in enumerate(value))
    if not 3 <= len(shape) <= 5:
        raise ShapeError(
            f"{name} is {quoted(shape)}; expected {layout} with one, two or three spatial axes, so 3 to 5 axes in all"
        )
    return shape


def _per_axis(name: str, value: Any, rank: int, least: int) -> Shape:
    if not _is_sequence(value):
        return (_integer(name, value, least),) * rank
    _check_length(name, value, rank, "one integer, or")
    return tuple(_integer(f"{name}[{axis}]", entry, least) for axis, entry in enumerate(value))


def _check_length(name: str, value: Any, rank: int, otherwise: str) -> None:
    if len(value) != rank:
        axes = "axis" if rank == 1 else "axes"
        raise ParameterError(
            f"{name} is {quoted(value)}, with {len(value)} entries; "
            f"expected {otherwise} {rank} for {rank} spatial {axes}"
        )


def _padding(value: Any, x: Shape, kernel: Shape, stride: Shape, dilation: Shape) -> Pairs:
    rank = len(kernel)
    if isinstance(value, str):
        return _padding_of_word(value, x, kernel, stride, dilation)
    if not _is_sequence(value):
        return ((_integer("padding", value, 0),) * 2,) * rank
    if rank == 1 and len(value) == 2 and not any(map(_is_sequence, value)):
        lo, hi = value
        raise ParameterError(
            f"padding is {quoted(value)}, with 2 entries for 1 spatial axis; "
            f"for a (lo, hi) pair write padding=(({quoted(lo)}, {quoted(hi)}),)"
        )
    _check_length("padding", value, rank, "one integer, a word, or")
    return tuple(_pair(f"padding[{axis}]", entry) for axis, entry in enumerate(value))


def _pair(name: str, entry: Any) -> tuple[int, int]:
    if not _is_sequence(entry):
        number = _integer(name, entry, 0)
        return number, number
    if len(entry) != 2:
        raise ParameterError(f"{name} is {quoted(entry)}; expected an integer or a (lo, hi) pair")
    return _integer(f"{name}[0]", entry[0], 0), _integer(f"{name}[1]", entry[1], 0)


def _padding_of_word(word: str, x: Shape, kernel: Shape, stride: Shape, dilation: Shape) -> Pairs:
    if word == "valid":
        return ((0, 0),) * len(kernel)
    if word == "full":
        reach = [effective_kernel(k, d) - 1 for k, d in zip(kernel, dilation, strict=True)]
        return tuple((p, p) for p in reach)
    if word in ("same", "same_lower"):
        axes = zip(x, kernel, stride, dilation, strict=True)
        return tuple(same_padding(*axis, extra_first=word == "same_lower") for axis in axes)
    known = ", ".join(map(repr, PADDING_WORDS))
    raise ParameterError(
        f"padding is {quoted(word)}.{did_you_mean(word, PADDING_WORDS)} Expected {known}, integers or pairs"
    )


def _check_channels(x: Shape, w: Shape, groups: int) -> None:
    for letter, extent, shape in (("C", x[1], f"x_shape {x}"), ("F", w[0], f"w_shape {w}")):
        if extent % groups:
            raise ShapeError(f"groups={groups} does not divide {letter}={extent} of {shape}")
    if w[1] != x[1] // groups:
        raise ShapeError(
            f"w_shape {w} has {w[1]} channels a group, but x_shape {x} with groups={groups} has {x[1] // groups}; "
            "w is (F, C/groups, *kernel)"
        )


def _checked_extent(axis: int, x: int, kernel: int, stride: int, pair: tuple[int, int], dilation: int) -> int:
    padded, reach = x + sum(pair), effective_kernel(kernel, dilation)
    if max(padded, reach) >= _LARGEST:
        raise ShapeError(f"spatial axis {axis}: an extent of {max(padded, reach)} is beyond 2**62")
    if reach > padded:
        raise ShapeError(
            f"spatial axis {axis}: the kernel covers {reach} positions (extent {kernel}, dilation {dilation}), more "
            f"than the padded input has: {padded} = {x} + padding {pair[0]} + {pair[1]}"
        )
    return output_extent(x, kernel, stride, *pair, dilation)


def _check_addressable(name: str, shape: Shape) -> None:
    # 8 bytes an element at most; NumPy itself refuses sizes beyond a signed 64-bit integer, zero extents left aside.
    if 8 * math.prod(max(1, extent) for extent in shape) >= 2**63:
        raise ShapeError(f"{name} {shape} is more than can be addressed: {math.prod(shape)} elements")
