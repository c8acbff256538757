"""Ways to hold the values of an array in memory."""

from __future__ import annotations

import tempfile
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from convback.contract import Array

Layout = Callable[[Array], Array]


class Subclass(np.ndarray):
    """An array of another class."""


def every_other(a: Array) -> Array:
    room = np.full([2 * extent + 1 for extent in a.shape], np.nan, a.dtype)
    room[(slice(1, None, 2),) * a.ndim] = a
    return room[(slice(1, None, 2),) * a.ndim]


def backwards(a: Array) -> Array:
    flip = (slice(None, None, -1),) * a.ndim
    return a[flip].copy()[flip]


def misaligned(a: Array) -> Array:
    view: Array = np.zeros(a.nbytes + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape)
    view[...] = a
    return view


def memory_mapped(a: Array) -> Array:
    with tempfile.TemporaryFile() as file:
        view = np.memmap(file, a.dtype, shape=a.shape)
    view[...] = a
    return view


def read_only(a: Array) -> Array:
    a = a.copy()
    a.flags.writeable = False
    return a


def channels_last(a: Array) -> Array:
    channels = min(1, a.ndim - 1)
    return np.moveaxis(np.moveaxis(a, channels, -1).copy(), -1, channels)


LAYOUTS: dict[str, Layout] = {
    "contiguous": np.copy,
    "transposed": lambda a: a.T.copy().T,
    "channels last": channels_last,
    "every other": every_other,
    "backwards": backwards,
    "misaligned": misaligned,
    "byte-swapped": lambda a: a.astype(a.dtype.newbyteorder()),
    "byte-swapped, transposed": lambda a: a.T.astype(a.dtype.newbyteorder(), order="C").T,
    "memory-mapped": memory_mapped,
    "subclass": lambda a: a.copy().view(Subclass),
}
READABLE: dict[str, Layout] = {
    **LAYOUTS,
    "read-only": read_only,
    "repeated": lambda a: np.broadcast_to(a[..., :1], a.shape),
    "one value": lambda a: np.broadcast_to(a[(0,) * a.ndim], a.shape),
}


def memory(a: Array) -> NDArray[np.uint8]:
    """All bytes of the array that `a` is a view of."""
    while isinstance(a.base, np.ndarray):
        a = a.base
    return a.reshape(-1, order="A").view(np.ndarray).view(np.uint8)


def unwritten(layout: str, like: Array) -> Array:
    """An `out` in memory whose bytes are all 255, so that its elements are NaN."""
    out = LAYOUTS[layout](np.zeros_like(like))
    memory(out)[...] = 255
    return out


def written_between(out: Array) -> bool:
    """Whether memory between the elements of an `out` is no longer as `unwritten` left it. The elements are lost."""
    out[...] = np.frombuffer(b"\xff" * out.itemsize, out.dtype)
    return bool((memory(out) != 255).any())
