"""Spectra of the arrays of a layer, block by block. Axes are [n, g, channel, ...], those of w [g, f, c, ...].

The transforms are SciPy's, which are pocketfft.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import EllipsisType
from typing import TypeAlias

import numpy as np
from scipy import fft

from convback import ConvGeometry, get_num_threads
from convback.contract import Array
from convback.geometry import Shape, effective_kernel

BLOCK_BYTES = 2**21  # of the spectra that exist at once, or those of one image and one group

Place: TypeAlias = tuple[EllipsisType | slice, ...]  # along the spatial axes of a transform


class Spectra:
    """The transforms of a layer.

    Attributes
    ----------
    sizes : tuple of int
        M of each axis: the next number from the least on that has no other factors than 2, 3 and 5.
    """

    def __init__(self, geom: ConvGeometry) -> None:
        self.geom = geom
        extents = tuple(map(effective_kernel, geom.kernel, geom.dilation))
        self.at_x: Place = (..., *(slice(lo, lo + n) for n, (lo, _) in zip(geom.x_spatial, geom.padding, strict=True)))
        self.at_y: Place = (..., *map(slice, geom.y_spatial))
        self.at_w: Place = (..., *(slice(0, n, d) for n, d in zip(extents, geom.dilation, strict=True)))
        each = zip(geom.x_spatial, geom.padding, geom.y_spatial, extents, strict=True)
        least = (max(x + max(pair), y, extent) for x, pair, y, extent in each)
        self.sizes: Shape = tuple(fft.next_fast_len(n, real=True) for n in least)
        self.axes = tuple(range(-geom.rank, 0))
        self.workers = 1  # threads of one transform

    @property
    def least_bytes(self) -> int:
        """Those of one image and one group."""
        return self._plane_bytes * (self._planes + self._filters)

    def blocks(self) -> Iterator[tuple[slice, list[slice]]]:
        """Some groups, and for these all images in blocks, so that the spectra take about `BLOCK_BYTES`."""
        plane, planes, filters = self._plane_bytes, self._planes, self._filters
        some = _even(self.geom.groups, BLOCK_BYTES // (plane * (planes + filters)))
        many = _even(self.geom.N, (BLOCK_BYTES // plane - some * filters) // (some * planes))
        for g in range(0, self.geom.groups, some):
            yield slice(g, g + some), [slice(n, n + many) for n in range(0, self.geom.N, many)]

    def each(self, work: Callable[[slice, list[slice]], None]) -> None:
        """Work on every block of groups; several at a time, as the threads of one transform gain little."""
        blocks, threads = list(self.blocks()), get_num_threads()
        at_a_time = min(threads, len(blocks))
        self.workers = threads // at_a_time

        def quietly(block: tuple[slice, list[slice]]) -> None:
            with np.errstate(all="ignore"):
                work(*block)

        if at_a_time == 1:
            for block in blocks:
                quietly(block)
        else:
            with ThreadPoolExecutor(at_a_time) as pool:
                for _ in pool.map(quietly, blocks):
                    pass

    def forward(self, block: Array, at: Place) -> Array:
        """The spectrum of a block that is put there, among zeros."""
        padded = np.zeros((*block.shape[:3], *self.sizes), block.dtype)
        padded[at] = block
        spectrum: Array = fft.rfftn(padded, axes=self.axes, workers=self.workers)
        return spectrum

    def inverse(self, spectrum: Array, at: Place) -> Array:
        """What has this spectrum, there."""
        whole: Array = fft.irfftn(spectrum, self.sizes, self.axes, workers=self.workers, overwrite_x=True)
        return whole[at]

    @property
    def _plane_bytes(self) -> int:
        """Of one spectrum, at most: half as many complex numbers, and some of the middle."""
        return 8 * (math.prod(self.sizes) + 2 * math.prod(self.sizes[:-1]))

    @property
    def _planes(self) -> int:
        """Of one image and one group, of x and y."""
        return (self.geom.C + self.geom.F) // self.geom.groups

    @property
    def _filters(self) -> int:
        """Planes of weights of one group."""
        return self.geom.F // self.geom.groups * (self.geom.C // self.geom.groups)


def _even(count: int, most: int) -> int:
    """How many at a time, so that none of the parts is much smaller than the others."""
    parts = -(-count // max(1, most))
    return -(-count // parts)


def grouped(a: Array, geom: ConvGeometry) -> Array:
    """x, y or a gradient of theirs as [n, g, channel, ...]."""
    return a.reshape(geom.N, geom.groups, -1, *a.shape[2:])


def by_group(w: Array, geom: ConvGeometry) -> Array:
    """w or dw as [g, f, c, ...]."""
    return w.reshape(geom.groups, -1, *w.shape[1:])
