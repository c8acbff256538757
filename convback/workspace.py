"""Scratch memory for backends: one buffer a thread, kept between calls, of bounded size."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from convback import environment
from convback.errors import UnsupportedProblem

ALIGNMENT = 64
DEFAULT_LIMIT = 64 * 2**20

_local = threading.local()


def limit() -> int:
    """Largest workspace of one thread, in bytes: `CONVBACK_WORKSPACE`, else 64 MiB."""
    return environment.positive_integer("CONVBACK_WORKSPACE") or DEFAULT_LIMIT


def take(nbytes: int) -> NDArray[np.uint8]:
    """Uninitialised scratch memory of this thread, aligned to 64 bytes.

    The same memory is handed out by the next call on the same thread: a backend takes all it needs at once, cuts it
    up itself, and keeps no reference after it returns.

    Parameters
    ----------
    nbytes : int
        Size in bytes.

    Returns
    -------
    ndarray of uint8, shape (nbytes,)

    Raises
    ------
    UnsupportedProblem
        If `nbytes` exceeds `limit()`. A backend that can work in smaller blocks asks for `limit()` bytes at most.
    """
    if nbytes > limit():
        raise UnsupportedProblem(
            f"a workspace of {nbytes} bytes is needed and CONVBACK_WORKSPACE allows {limit()}; raise it"
        )
    if nbytes > getattr(_local, "high_water", 0):
        _local.high_water = nbytes
    buffer: NDArray[np.uint8] | None = getattr(_local, "buffer", None)
    if buffer is None or buffer.nbytes < nbytes:
        _local.buffer = buffer = _aligned(nbytes)
    return buffer[:nbytes]


def high_water() -> int:
    """Largest number of bytes taken at once on this thread since `reset_high_water`."""
    return int(getattr(_local, "high_water", 0))


def reset_high_water() -> None:
    """Start the high-water mark of this thread anew."""
    _local.high_water = 0


def _aligned(nbytes: int) -> NDArray[np.uint8]:
    raw = np.empty(nbytes + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + nbytes]
