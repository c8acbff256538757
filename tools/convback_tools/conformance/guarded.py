"""Arrays between stretches of memory that nobody may write."""

from __future__ import annotations

import math

import numpy as np

from convback.contract import Array, DType
from convback.geometry import Shape

GUARD = 4096
ALIGNMENT = 64
FILLING = 255  # in all bytes; as a number it is NaN, so that what is read beyond an array shows in the result


class Guarded:
    """An array full of NaN, aligned to its elements and no further, as a backend may be given one.

    Attributes
    ----------
    array : ndarray
    """

    def __init__(self, shape: Shape, dtype: DType) -> None:
        nbytes = math.prod(shape) * dtype.itemsize
        self.room = np.full(2 * GUARD + ALIGNMENT + nbytes, FILLING, np.uint8)
        self.start = GUARD - self.room.ctypes.data % ALIGNMENT + dtype.itemsize
        self.stop = self.start + nbytes
        self.array: Array = self.room[self.start : self.stop].view(dtype).reshape(shape)

    @classmethod
    def copy(cls, values: Array) -> Guarded:
        """With the values of an array."""
        guarded = cls(values.shape, values.dtype)
        guarded.array[...] = values
        return guarded

    @property
    def overrun(self) -> str:
        """Where memory beyond the array was written, in words; empty if nowhere."""
        written = np.flatnonzero(self.room != FILLING)
        before, behind = written[written < self.start], written[written >= self.stop]
        if before.size:
            return f"byte {self.start - before[-1]} before its first one"
        if behind.size:
            return f"byte {behind[0] - self.stop + 1} behind its last one"
        return ""


def assert_untouched(held: dict[str, Guarded], values: dict[str, Array], outs: dict[str, Guarded]) -> None:
    """Operands have their values, and nothing was written around them or around results."""
    __tracebackhide__ = True
    for name, guarded in {**held, **outs}.items():
        assert not guarded.overrun, f"it writes beyond {name}: {guarded.overrun}"
    for name, guarded in held.items():
        assert guarded.array.tobytes() == values[name].tobytes(), f"it changes its operand {name}"
