"""What the planners of the tiled kernels share: axes as passes see them, windows of inputs, blocks, panels."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convback import ConvGeometry, workspace

Indices = NDArray[np.intp]
Triple = tuple[int, int, int]

# What one thread copies at once stays in the second-level cache, which is its own; what all share, in the third.
OWN_BYTES = 2**20
SHARED_BYTES = 2 * 2**20

# About 30 microseconds of work: below it, one thread computes, since starting and awaiting others costs what they save.
PARALLEL_MACS = 1_000_000

# Images are divided among so many blocks, where there are as many, so that threads find something to share out.
BLOCKS = 16


class TooLarge(Exception):
    """What a layer needs at once does not fit into the workspace; the message is for people."""


def chunk(panels: int, bytes_of_one: int) -> int:
    """How many panels are packed, or summed, at once: three eighths of the workspace.

    Raises
    ------
    TooLarge
        If a single one does not fit.
    """
    most = workspace.limit() * 3 // 8
    if bytes_of_one > most:
        raise TooLarge(
            f"it packs {bytes_of_one} bytes at once, and {most} of the workspace are for that; raise CONVBACK_WORKSPACE"
        )
    return min(panels, most // bytes_of_one)


@dataclass(frozen=True)
class Window:
    """Which inputs a block of positions reads; `_kernels.Window` copies them.

    Attributes
    ----------
    extent, size : of the operand, and of the largest window in it.
    channels, groups, depth : of the operand: channels in all, groups, channels in a group.
    lanes : groups that are taken together as a vector; 1 means one channel at a time.
    units : channels, or with lanes vectors of channels.
    copied : whether a copy is made; else the operand is read in place.
    pixel : where the channels of a position are neighbours in the copy, numbers from one position to the next; else 0.
    """

    extent: Triple
    size: Triple
    channels: int
    groups: int
    depth: int
    lanes: int
    units: int
    copied: bool
    pixel: int = 0

    def numbers(self, images: int) -> int:
        """Of the copies of so many images."""
        return images * math.prod(self.size) * (self.pixel or self.units * self.lanes) if self.copied else 0


def indices(values: Any) -> Indices:
    return np.ascontiguousarray(values, np.intp)


def flattened(geom: ConvGeometry) -> ConvGeometry:
    """The same layer with three axes; with one long axis where each position reads just itself."""
    same = geom.x_spatial == geom.y_spatial and set(geom.kernel) == {1} and not any(map(any, geom.padding))
    if not same:
        return geom.as3d()
    space = (1, 1, math.prod(geom.x_spatial))
    return ConvGeometry((geom.N, geom.C, *space), (geom.F, geom.C // geom.groups, 1, 1, 1), groups=geom.groups)


def block(
    images: int, count: Triple, reach: Triple, cost: Callable[[Triple], int], own: bool
) -> tuple[int, int, int, int]:
    """Images and positions of a block, which costs about OWN_BYTES where a thread has its own, else SHARED_BYTES.

    Positions are halved along the first axis that has more than one, until one image fits; if all positions of an image
    fit, several images are taken. A block that is shorter than the kernel's reach would copy most inputs several times:
    it is made only where a longer one takes too much of the workspace.

    Raises
    ------
    TooLarge
        If the smallest block does not fit into the workspace.
    """
    large = workspace.limit() // 4
    small = min(OWN_BYTES if own else SHARED_BYTES, large)
    size = count
    for most, overlap in ((small, 1), (large, 0)):
        for axis in range(3):
            while size[axis] > 1 and (size[axis] + 1) // 2 >= overlap * reach[axis] and cost(size) > most:
                size = triple((n + 1) // 2 if a == axis else n for a, n in enumerate(size))
    if cost(size) > large:
        raise TooLarge(
            f"the inputs of one output take {cost(size)} bytes, and {large} of the workspace are for them; "
            "raise CONVBACK_WORKSPACE"
        )
    fitting = max(1, small // max(1, cost(size))) if size == count else 1
    return min(-(-images // BLOCKS) if own else images, fitting), *size


def in_lines(numbers: int) -> int:
    """At least so many numbers, in lines of cache that a thread shares with no other."""
    return -(-numbers // 32) * 32 + 32


def triple(values: Iterable[int]) -> Triple:
    a, b, c = values
    return a, b, c


def balanced(total: int, most: int) -> list[int]:
    """Where each of as few parts as possible begins, none longer than `most`, all of nearly one length; and the end."""
    parts = -(-total // most)
    return [i * total // parts for i in range(parts + 1)]


def panels(slots: int, vector: int) -> list[tuple[int, int]]:
    """Slots of a group in panels of two vectors, the last of one or two: (first slot, vectors)."""
    firsts = range(0, slots, 2 * vector)
    return [(first, 1 if slots - first <= vector else 2) for first in firsts]
