"""A gradient as people compute it, rightly or wrongly: three arrays, and a rule which of their entries meet.

Here nothing has to fit. A `ConvGeometry` refuses a layer whose shapes contradict each other; a mistake is just that,
and a `Rule` lets it happen: what falls outside an array is dropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np

from convback import ConvGeometry
from convback.contract import Array
from convback.geometry import Shape
from convback_tools.submission import Submission

Slices = tuple[slice, ...]
EVERYTHING = (slice(None), slice(None))


@dataclass(frozen=True)
class Rule:
    """On every axis, tap k of output i meets input r = i * stride + k * dilation - lo, where all three exist."""

    inputs: Shape
    outputs: Shape
    kernel: Shape
    stride: Shape
    dilation: Shape
    lo: Shape

    def meetings(self) -> Iterator[tuple[Shape, Slices, Slices]]:
        """Every tap that meets an input, with the outputs and the inputs that meet in it."""
        for met in product(*_on_axes(self)):
            taps, outputs, inputs = zip(*met, strict=True)
            yield taps, (*EVERYTHING, *outputs), (*EVERYTHING, *inputs)


@lru_cache(1024)  # most mistakes leave the rule as it is
def _on_axes(rule: Rule) -> list[list[tuple[int, slice, slice]]]:
    """On each axis the taps that meet an input, with the outputs and inputs; with a stride of 0 all meet one input."""
    met = []
    extents = (rule.kernel, rule.outputs, rule.inputs, rule.stride, rule.dilation, rule.lo)
    for kernel, outputs, inputs, s, d, lo in zip(*extents, strict=True):
        on_axis = []
        for k in range(kernel):
            r = np.arange(outputs) * s + k * d - lo
            inside = np.flatnonzero((r >= 0) & (r < inputs))
            if inside.size:
                first, last = int(inside[0]), int(inside[-1])
                on_axis.append((k, slice(first, last + 1), slice(int(r[first]), int(r[last]) + 1, s or None)))
        met.append(on_axis)
    return met


@dataclass(frozen=True)
class Task:
    """What to compute: y, dx, dw or db, from these arrays by this rule.

    Attributes
    ----------
    op : str
    geom : ConvGeometry
        The layer as it should be.
    rule : Rule
    groups : int
    x, w, dy, b : ndarray of float64
        dy is zero where it was not given, and is not needed.
    """

    op: str
    geom: ConvGeometry
    rule: Rule
    groups: int
    x: Array
    w: Array
    dy: Array
    b: Array

    def result(self) -> Array:
        """The gradient that follows."""
        return {"y": self._y, "dx": self._dx, "dw": self._dw, "db": self._db}[self.op]()

    def changed(self, **changes: Any) -> Task:
        """The same with other arrays or groups, and, by the names of its attributes, another rule."""
        own = {name: changes.pop(name) for name in list(changes) if name in self.__dataclass_fields__}
        return replace(self, rule=replace(self.rule, **changes), **own)

    def _y(self) -> Array:
        y = np.zeros((self.x.shape[0], self.w.shape[0], *self.rule.outputs))
        for tap, outputs, inputs in self.rule.meetings():
            part = y[outputs]
            part += (self._tap(tap) @ self._positions(self.x[inputs])).reshape(part.shape)
        return y + self.b.reshape(-1, *(1,) * len(self.rule.outputs))

    def dx_parts(self) -> Iterator[tuple[Any, Array]]:
        """What each tap adds to dx: where, and how much."""
        shape = (self.dy.shape[0], self.groups * self.w.shape[1])
        one_place = tuple(axis for axis, s in enumerate(self.rule.stride, 2) if s == 0)
        for tap, outputs, inputs in self.rule.meetings():
            met = self.dy[outputs]
            part = (self._tap(tap).swapaxes(-1, -2) @ self._positions(met)).reshape(*shape, *met.shape[2:])
            yield inputs, part.sum(axis=one_place, keepdims=True)

    def _dx(self) -> Array:
        dx = np.zeros((self.dy.shape[0], self.groups * self.w.shape[1], *self.rule.inputs))
        for inputs, part in self.dx_parts():
            dx[inputs] += part
        return dx

    def _dw(self) -> Array:
        filters, channels = self.dy.shape[1], self.x.shape[1] // self.groups
        dw = np.zeros((filters, channels, *self.rule.kernel))
        for tap, outputs, inputs in self.rule.meetings():
            part = self._positions(self.dy[outputs]) @ self._positions(self.x[inputs]).swapaxes(-1, -2)
            index: Any = (*EVERYTHING, *tap)
            dw[index] = part.sum(axis=0).reshape(filters, channels)
        return dw

    def _db(self) -> Array:
        total: Array = self.dy.sum(axis=(0, *range(2, self.dy.ndim)))
        return total

    def _positions(self, box: Array) -> Array:
        """(N, C, ...) as (N, G, C/G, positions)."""
        return box.reshape(box.shape[0], self.groups, box.shape[1] // self.groups, -1)

    def _tap(self, tap: Shape) -> Array:
        """One tap of w as (G, F', C')."""
        index: Any = (*EVERYTHING, *tap)
        of_tap: Array = self.w[index]
        return of_tap.reshape(self.groups, -1, self.w.shape[1])


def task(given: Submission, op: str) -> Task:
    """The right task of a submission, with w as a correlation takes it."""
    g = given.geom
    lo = tuple(lo for lo, _ in g.padding)
    rule = Rule(g.x_spatial, g.y_spatial, g.kernel, g.stride, g.dilation, lo)
    dy = np.zeros(g.y_shape) if given.dy is None else given.dy
    b = np.zeros(g.F) if given.b is None else given.b
    return Task(op, g, rule, g.groups, given.x, given.correlated(given.w), dy, b)
