"""How time grows: one layer with more images and with a larger map, and the exponents that fit its times."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from convback import ConvGeometry
from convback_tools.benchmark.rows import Row
from convback_tools.suites import Case

LAYER = "resnet50-res3-3x3"
FACTORS = (1, 2, 4, 8, 16)


@dataclass(frozen=True)
class Growth:
    """Cases of which one is twice the other.

    Attributes
    ----------
    of : str
        What grows: "N", or the extents of x, "H·W" in two dimensions.
    sizes : dict of str to int
        That size of each case, by its name.
    """

    of: str
    sizes: dict[str, int]


@dataclass(frozen=True)
class Exponent:
    """Time grows as size ** exponent: the line of least squares through the logarithms of the shortest times."""

    op: str
    dtype: str
    backend: str
    of: str
    exponent: float

    def __str__(self) -> str:
        size = f"({self.of})" if "·" in self.of else self.of
        return f"{self.backend} {self.op} {self.dtype}: time grows as {size}^{self.exponent:.2f}"


def scaled(layer: Case) -> tuple[list[Case], list[Growth]]:
    """A layer with 1 to 16 images, and one image of it whose axes are doubled in turn, the last one first."""
    rank = layer.geom.rank
    batches = [_resized(layer, factor, layer.geom.x_spatial) for factor in FACTORS]
    maps = []
    spatial = list(layer.geom.x_spatial)
    for step in range(len(FACTORS)):
        maps.append(_resized(layer, 1, tuple(spatial)))
        spatial[rank - 1 - step % rank] *= 2
    extents = "·".join("DHW"[3 - rank :])
    growths = [
        Growth("N", {case.name: case.geom.N for case in batches}),
        Growth(extents, {case.name: math.prod(case.geom.x_spatial) for case in maps}),
    ]
    return list({case.name: case for case in (*batches, *maps)}.values()), growths


def _resized(layer: Case, N: int, spatial: tuple[int, ...]) -> Case:
    g = layer.geom
    geom = ConvGeometry((N, g.C, *spatial), g.w_shape, g.stride, g.padding, g.dilation, g.groups)
    return Case(f"{layer.name} N={N} {'x'.join(map(str, spatial))}", geom)


def exponents(rows: Sequence[Row], growths: Sequence[Growth]) -> list[Exponent]:
    """Those of every backend, gradient and dtype that was timed at two sizes at least."""
    found = []
    for op, dtype, backend in dict.fromkeys((row.op, row.dtype, row.backend) for row in rows):
        for growth in growths:
            points = [
                (growth.sizes[row.case], row.seconds_min)
                for row in rows
                if (row.op, row.dtype, row.backend) == (op, dtype, backend)
                and row.case in growth.sizes
                and row.seconds_min
            ]
            if len(points) > 1:
                size, seconds = np.log(np.array(points, np.float64)).T
                slope = float(np.polyfit(size, seconds, 1)[0])
                found.append(Exponent(op, dtype, backend, growth.of, slope))
    return found
