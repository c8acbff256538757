"""Ways to hold the values of an array in memory, and what memory tells of reads and writes.

All bytes around and between the elements are 255. As numbers they are NaN: what is read there spoils a result, and
what is written there shows.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from convback.contract import Array

Lay: TypeAlias = Callable[[Array], Array]

MARGIN = 64  # bytes on both sides; keeps what is aligned aligned


@dataclass(frozen=True)
class Layout:
    """A function that lays the values of an array of at most five axes into memory of their own.

    Attributes
    ----------
    order : tuple of int
        The axes, beginning with the one whose neighbours lie closest together.
    steps : tuple of int
        How far apart they lie on each axis, the last axes counting: 2 leaves gaps, -1 runs backwards, 0 keeps a single
        value for all.
    lonely : int or None
        The stride of axes of extent 1, on which NumPy calls an array contiguous whatever it is.
    offset : int
        In bytes; 1 is misaligned.
    """

    order: tuple[int, ...] = (4, 3, 2, 1, 0)
    steps: tuple[int, ...] = (1, 1, 1, 1, 1)
    lonely: int | None = None
    offset: int = 0
    swapped: bool = False
    read_only: bool = False

    def __call__(self, a: Array) -> Array:
        dtype = a.dtype.newbyteorder() if self.swapped else a.dtype
        strides, reach, start = [0] * a.ndim, dtype.itemsize, MARGIN + self.offset
        for axis in (axis for axis in self.order if axis < a.ndim):
            step, extent = self.steps[axis - a.ndim], max(1, a.shape[axis])
            strides[axis] = step * reach
            start -= min(0, strides[axis]) * (extent - 1)
            reach *= max(1, abs(step) * extent)
            if a.shape[axis] == 1 and self.lonely is not None:
                strides[axis] = self.lonely
        memory = np.full(MARGIN + self.offset + reach + MARGIN, 255, np.uint8)
        view: Array = np.ndarray(a.shape, dtype, memory, start, strides)
        view[...] = a
        view.flags.writeable = not self.read_only
        return view


class Subclass(np.ndarray):
    """An array of another class."""


def subclass(a: Array) -> Array:
    return a.copy().view(Subclass)


def memory_mapped(a: Array) -> Array:
    with tempfile.TemporaryFile() as file:
        view = np.memmap(file, a.dtype, shape=a.shape)
    view[...] = a
    return view


LAYOUTS: dict[str, Lay] = {
    "contiguous": Layout(),
    "transposed": Layout(order=(0, 1, 2, 3, 4)),
    "channels last": Layout(order=(1, 4, 3, 2, 0)),
    "every other": Layout(steps=(2, 2, 2, 2, 2)),
    "backwards": Layout(steps=(-1, -1, -1, -1, -1)),
    "contiguous with a stray stride": Layout(lonely=-24),
    "misaligned": Layout(offset=1),
    "byte-swapped": Layout(swapped=True),
    "byte-swapped, transposed": Layout(order=(0, 1, 2, 3, 4), swapped=True),
    "memory-mapped": memory_mapped,
    "subclass": subclass,
}
READABLE: dict[str, Lay] = {
    **LAYOUTS,
    "read-only": Layout(read_only=True),
    "repeated": Layout(steps=(1, 1, 1, 1, 0)),
    "one value": Layout(steps=(0, 0, 0, 0, 0)),
}


def memory(a: Array) -> NDArray[np.uint8]:
    """All bytes of the array that `a` is a view of."""
    while isinstance(a.base, np.ndarray):
        a = a.base
    return a.reshape(-1).view(np.ndarray).view(np.uint8)


def unwritten(layout: Lay, like: Array) -> Array:
    """An `out` in memory whose bytes are all 255, so that its elements are NaN."""
    out = layout(np.zeros_like(like))
    memory(out)[...] = 255
    return out


def written_between(out: Array) -> bool:
    """Whether memory between the elements of an `out` is no longer as `unwritten` left it. The elements are lost."""
    out[...] = np.frombuffer(b"\xff" * out.itemsize, out.dtype)
    return bool((memory(out) != 255).any())
