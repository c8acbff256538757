"""Problems restated as others: maps take the arrays x, w and y into the related problem, and others take results back.

A gradient of the related problem, taken back, must be the gradient of this one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from convback import ConvGeometry
from convback.contract import Array
from convback.geometry import effective_kernel
from convback_tools.verification.question import Question

Operands: TypeAlias = tuple[Array, ...]
Ask: TypeAlias = Callable[[Question, Operands], Array]
Map: TypeAlias = Callable[[Array], Array]

# The array of the layer that each operand and result is shaped as.
ROLES = {"x": "x", "w": "w", "dy": "y", "y": "y", "dx": "x", "dw": "w", "db": "b"}


@dataclass(frozen=True)
class Restated:
    """A related problem, and by role (x, w, y, b) how arrays get there and results come back; absent: as they are."""

    geom: ConvGeometry
    into: Mapping[str, Map] = field(default_factory=dict)
    back: Mapping[str, Map] = field(default_factory=dict)

    def __call__(self, question: Question, operands: Operands, ask: Ask) -> Array:
        named = zip(question.operand_names, operands, strict=True)
        there = tuple(np.ascontiguousarray(self._map(self.into, ROLES[name])(a)) for name, a in named)
        return self._map(self.back, ROLES[question.op])(ask(replace(question, geom=self.geom), there))

    @staticmethod
    def _map(maps: Mapping[str, Map], role: str) -> Map:
        return maps.get(role, lambda a: a)


def changed(g: ConvGeometry, **parameters: Any) -> ConvGeometry:
    """The geometry with some parameters replaced."""
    names = ("x_shape", "w_shape", "stride", "padding", "dilation", "groups")
    return ConvGeometry(**{name: parameters.get(name, getattr(g, name)) for name in names})


# Each is a function of the geometry; None where it would say nothing.


def permuted(extent: Callable[[ConvGeometry], int], **axes: int) -> Callable[[ConvGeometry], Restated | None]:
    """A cyclic permutation along one axis of each array named, counted where groups are an axis of their own."""

    def restate(g: ConvGeometry) -> Restated | None:
        if extent(g) < 2:
            return None

        def rolled(a: Array, role: str, by: int) -> Array:
            return np.roll(grouped(a, g, role), by, axes[role]).reshape(a.shape)

        into, back = ({role: partial(rolled, role=role, by=by) for role in axes} for by in (1, -1))
        return Restated(g, into, back)

    return restate


def grouped(a: Array, g: ConvGeometry, role: str) -> Array:
    """x and y as (N, G, channel, ...), w as (G, filter, channel, ...), b as (G, filter)."""
    if role in "wb":
        return a.reshape(g.groups, -1, *a.shape[1:])
    return a.reshape(a.shape[0], g.groups, -1, *a.shape[2:])


def dense(g: ConvGeometry) -> Restated | None:
    """One group, whose w is block-diagonal."""
    if g.groups == 1:
        return None
    filters, channels = g.F // g.groups, g.C // g.groups
    of_filter = np.arange(g.F)[:, np.newaxis], (np.arange(g.F) // filters * channels)[:, np.newaxis] + range(channels)

    def into(w: Array) -> Array:
        block_diagonal = np.zeros((g.F, g.C, *g.kernel), w.dtype)
        block_diagonal[of_filter] = w
        return block_diagonal

    geom = changed(g, w_shape=(g.F, g.C, *g.kernel), groups=1)
    return Restated(geom, {"w": into}, {"w": lambda dw: dw[of_filter]})


def reversed_axes(g: ConvGeometry) -> Restated | None:
    """Everything flipped: leading padding is what the last window reads behind x, and inputs it leaves are cut off."""
    reach = [
        (i - 1) * s + effective_kernel(k, d)
        for i, s, k, d in zip(g.y_spatial, g.stride, g.kernel, g.dilation, strict=True)
    ]
    behind = [n - r - lo for n, r, (lo, _) in zip(reach, g.x_spatial, g.padding, strict=True)]
    read = [r + min(0, b) for r, b in zip(g.x_spatial, behind, strict=True)]
    if min(read) < 1:
        return None
    padding = [(max(0, b), lo) for b, (lo, _) in zip(behind, g.padding, strict=True)]
    geom = changed(g, x_shape=(*g.x_shape[:2], *read), padding=padding)

    def flip(a: Array) -> Array:
        return np.flip(a, tuple(range(2, a.ndim)))

    def into_x(x: Array) -> Array:
        part: Any = (..., *map(slice, read))
        return flip(x[part])

    def back_x(dx: Array) -> Array:
        return padded(flip(dx), [(0, r - n) for r, n in zip(g.x_spatial, read, strict=True)])

    return Restated(geom, {"x": into_x, "w": flip, "y": flip}, {"x": back_x, "w": flip, "y": flip})


def transposed(g: ConvGeometry) -> Restated | None:
    """Space with its axes in the opposite order."""
    if g.rank == 1:
        return None

    def transpose(a: Array) -> Array:
        return a.transpose(0, 1, *range(a.ndim - 1, 1, -1))

    there = {name: getattr(g, name)[::-1] for name in ("stride", "padding", "dilation")}
    shapes = {name: (*getattr(g, name)[:2], *getattr(g, name)[:1:-1]) for name in ("x_shape", "w_shape")}
    maps: dict[str, Map] = dict.fromkeys("xwy", transpose)
    return Restated(changed(g, **there, **shapes), maps, maps)


def of_stride_1(g: ConvGeometry) -> Restated | None:
    """dy with zeros between its positions; y is every s-th of all positions."""
    if set(g.stride) == {1}:
        return None
    geom = changed(g, stride=1)
    every: Any = (..., *(slice(None, None, s) for s in g.stride))
    return Restated(geom, {"y": partial(spread, shape=geom.y_shape, places=every)}, {"y": lambda y: y[every]})


def of_dilation_1(g: ConvGeometry) -> Restated | None:
    """A kernel with zeros between its taps."""
    if set(g.dilation) == {1}:
        return None
    kernel = [effective_kernel(k, d) for k, d in zip(g.kernel, g.dilation, strict=True)]
    geom = changed(g, w_shape=(*g.w_shape[:2], *kernel), dilation=1)
    every: Any = (..., *(slice(None, None, d) for d in g.dilation))
    return Restated(geom, {"w": partial(spread, shape=geom.w_shape, places=every)}, {"w": lambda dw: dw[every]})


def of_padding_0(g: ConvGeometry) -> Restated | None:
    """x with its padding written out."""
    if not np.any(g.padding):
        return None
    inside: Any = (..., *(slice(lo, lo + r) for r, (lo, _) in zip(g.x_spatial, g.padding, strict=True)))
    spatial = (lo + r + hi for r, (lo, hi) in zip(g.x_spatial, g.padding, strict=True))
    geom = changed(g, x_shape=(*g.x_shape[:2], *spatial), padding=0)
    return Restated(geom, {"x": partial(padded, pairs=g.padding)}, {"x": lambda dx: dx[inside]})


def of_higher_rank(g: ConvGeometry) -> Restated | None:
    """One more spatial axis, of extent 1."""
    if g.rank == 3:
        return None
    shapes = {name: (*getattr(g, name)[:2], 1, *getattr(g, name)[2:]) for name in ("x_shape", "w_shape")}
    geom = changed(g, **shapes, stride=(1, *g.stride), padding=((0, 0), *g.padding), dilation=(1, *g.dilation))
    return Restated(
        geom, dict.fromkeys("xwy", lambda a: a[:, :, np.newaxis]), dict.fromkeys("xwy", lambda a: a[:, :, 0])
    )


def spread(a: Array, shape: tuple[int, ...], places: Any) -> Array:
    """Zeros of a shape, with the array at some places."""
    result = np.zeros(shape, a.dtype)
    result[places] = a
    return result


def padded(a: Array, pairs: Any) -> Array:
    return np.pad(a, ((0, 0), (0, 0), *pairs))


RESTATED: dict[str, Callable[[ConvGeometry], Restated | None]] = {
    "batch permuted": permuted(lambda g: g.N, x=0, y=0),
    "channels permuted": permuted(lambda g: g.C // g.groups, x=2, w=2),
    "filters permuted": permuted(lambda g: g.F // g.groups, y=2, w=1, b=1),
    "groups permuted": permuted(lambda g: g.groups, x=1, y=1, w=0, b=0),
    "groups = block-diagonal dense": dense,
    "everything flipped": reversed_axes,
    "everything transposed": transposed,
    "stride = zeros in dy": of_stride_1,
    "dilation = zeros in w": of_dilation_1,
    "padding = zeros around x": of_padding_0,
    "one more axis": of_higher_rank,
}
