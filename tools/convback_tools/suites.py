"""The built-in suites: lists of cases, each a geometry and the name it is reported under."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, cycle, product
from typing import Any, NamedTuple

from convback import ConvbackError, ConvGeometry, ParameterError
from convback.errors import did_you_mean
from convback.geometry import effective_kernel
from convback_tools import notation
from convback_tools.layers import LAYERS


class Case(NamedTuple):
    """A problem of a suite."""

    name: str
    geom: ConvGeometry

    @property
    def word(self) -> str:
        """The problem as one word, which `--case` takes."""
        return notation.to_word(self.geom)


def suite(name: str) -> list[Case]:
    """All cases of a built-in suite.

    Raises
    ------
    ParameterError
        If there is no suite of that name.
    """
    if name not in SUITES:
        raise ParameterError(f"suite is {name!r}.{did_you_mean(name, SUITES)} Expected one of {', '.join(SUITES)}")
    return list({case.geom: case for case in SUITES[name]()}.values())


def case(text: str) -> Case:
    """The case that a problem word, or the name of a case of a built-in suite, stands for.

    Raises
    ------
    ConvbackError
        If it is neither.
    """
    named = {c.name: c for c in (*discriminating(), *layers())}
    if text in named:
        return named[text]
    try:
        geom, name = notation.parse(text)
    except ConvbackError as error:
        raise type(error)(f"{error}.{did_you_mean(text, named)}") from None
    return Case(name or notation.to_word(geom), geom)


def seed() -> Iterator[Case]:
    """x (1, 4, 8, 8), w (4, 4, 3, 3): the case of the question that this project answers."""
    yield Case("seed-8x8", ConvGeometry((1, 4, 8, 8), (4, 4, 3, 3)))


def discriminating() -> Iterator[Case]:
    """Three cases that together see every classic mistake.

    Extents differ, so that none can be mixed up, and every parameter differs from its default, on each axis and side by
    itself; then a square one with a stride, and the seed.
    """
    yield Case("mixed-10x12", ConvGeometry((3, 4, 10, 12), (6, 2, 3, 2), (2, 3), ((1, 2), (0, 1)), (1, 2), 2))
    yield Case("strided-8x8", ConvGeometry((2, 4, 8, 8), (4, 4, 3, 3), 2, 1))
    yield from seed()


def layers() -> Iterator[Case]:
    """Layers of networks in use."""
    for name, word in LAYERS.items():
        yield Case(name, notation.parse(word).geom)


def quick() -> Iterator[Case]:
    """Small cases that together see every mistake we know of; some seconds for all backends."""
    yield from discriminating()
    yield from _unnamed(
        # One axis and three.
        ConvGeometry((2, 3, 11), (5, 3, 4), 2, ((2, 1),), 2),
        ConvGeometry((3, 4, 17), (6, 2, 3), 1, "same", 1, 2),
        ConvGeometry((2, 2, 5, 6, 7), (3, 2, 2, 3, 4), (1, 2, 3), ((1, 0), (2, 1), (0, 3)), (2, 1, 1)),
        ConvGeometry((1, 4, 4, 5, 6), (6, 2, 3, 2, 3), (2, 1, 2), "same", 1, 2),
        # Depthwise, with and without a multiplier; groups of one filter.
        ConvGeometry((2, 3, 7, 9), (3, 1, 3, 3), 1, 1, 1, 3),
        ConvGeometry((2, 3, 9, 8), (6, 1, 5, 3), 2, (2, 1), 1, 3),
        ConvGeometry((2, 3, 23), (9, 1, 7), 1, "same", 1, 3),
        ConvGeometry((2, 6, 5, 6), (3, 2, 3, 3), 1, 1, 1, 3),
        # 1x1, with and without stride.
        ConvGeometry((2, 5, 6, 7), (3, 5, 1, 1)),
        ConvGeometry((2, 3, 7, 8), (4, 3, 1, 1), 2),
        ConvGeometry((2, 3, 5, 4), (4, 3, 1, 1), (2, 3), 2),
        ConvGeometry((2, 6, 4, 5), (9, 2, 1, 1), 1, 0, 1, 3),
        # 1x1 with more channels and positions than tiles and blocks hold; strides in rows that fill vectors.
        ConvGeometry((3, 40, 17, 17), (41, 40, 1, 1)),
        ConvGeometry((1, 16, 3, 5, 33), (17, 16, 1, 1, 1), 2),
        # Rows longer than any vector register, with a remainder.
        ConvGeometry((1, 2, 3, 53), (3, 2, 2, 3), 1, 1),
        ConvGeometry((1, 2, 3, 71), (2, 2, 1, 5), (1, 2), (0, 2)),
        ConvGeometry((1, 17, 4, 5), (18, 17, 1, 2)),
        # The kernel covers all of the padded input; dilation; strides beyond the kernel; padding beyond the kernel.
        ConvGeometry((2, 3, 4, 5), (4, 3, 4, 5)),
        ConvGeometry((1, 2, 9, 10), (3, 2, 3, 3), 1, (2, 3), (2, 3)),
        ConvGeometry((2, 3, 11, 12), (2, 3, 2, 2), (4, 5)),
        ConvGeometry((1, 2, 4, 5), (3, 2, 2, 3), 1, "full"),
        ConvGeometry((1, 2, 3, 4), (2, 2, 2, 2), 2, ((4, 0), (0, 5))),
        ConvGeometry((2, 2, 7, 6), (3, 2, 4, 2), (3, 2), "same_lower"),
        ConvGeometry((1, 2, 2, 2), (2, 2, 2, 7), 1, (5, 4)),
        # A stride along the columns alone, on a map that is not square; rows shorter than the stride.
        ConvGeometry((2, 3, 7, 9), (3, 1, 3, 3), (2, 1), 1, 1, 3),
        ConvGeometry((1, 4, 3, 1), (2, 2, 2, 1), 2, 0, 1, 2),
        # Windows that fill some megabytes, so that methods which work in blocks need several: of images, of planes, of
        # rows of each plane. Few products, as there is one filter.
        ConvGeometry((60, 3, 20, 20), (1, 3, 5, 5)),
        ConvGeometry((2, 2, 82, 18, 18), (1, 2, 3, 3, 3)),
        ConvGeometry((2, 4, 2, 70, 66), (1, 4, 1, 9, 9)),
        # Transforms that fill some megabytes: several blocks of groups, and of images.
        ConvGeometry((3, 2, 45_000), (2, 1, 4), 1, 0, 1, 2),
        # 3x3 for transforms, which need many terms: channels for y, filters for dx, tiles for dw; and depth.
        ConvGeometry((2, 34, 5, 7), (3, 34, 3, 3), 1, 1),
        ConvGeometry((1, 3, 6, 9), (35, 3, 3, 3), 1, ((0, 2), (3, 1))),
        ConvGeometry((1, 2, 18, 15), (3, 2, 3, 3)),
        ConvGeometry((1, 20, 14, 15), (1, 20, 3, 3), 1, 1),
        ConvGeometry((1, 1, 14, 15), (20, 1, 3, 3), 1, 1),
        ConvGeometry((2, 2, 3, 5, 6), (32, 2, 2, 3, 3), 1, ((2, 0), (1, 0), (0, 1)), (2, 1, 1)),
        # Channels that fill vectors, so that neighbouring taps may be summed at once; a phase of dx without any tap.
        ConvGeometry((2, 32, 5, 6), (3, 32, 3, 3), 1, 1),
        ConvGeometry((2, 3, 7, 10), (16, 3, 2, 2), (1, 3), 1),
        # Channels that fill vectors where rows do not: phases in a row, and far apart; taps that read padding alone.
        ConvGeometry((1, 12, 5, 7), (30, 12, 3, 3), 2, 1),
        ConvGeometry((1, 17, 2, 11), (20, 17, 1, 6), (1, 5), (0, 2)),
        ConvGeometry((1, 33, 8, 9), (34, 33, 5, 2), 1, 2),
        ConvGeometry((1, 17, 3, 5), (33, 17, 1, 2), 2, 1),
        # More groups than vectors have lanes; more taps than are packed at once.
        ConvGeometry((1, 36, 2, 3), (36, 2, 2, 2), 1, 0, 1, 18),
        ConvGeometry((1, 3, 17, 18), (10, 3, 17, 17)),
        # A step that is never taken may have any length.
        ConvGeometry((1, 2, 3, 4), (3, 2, 3, 4), 2**61),
        # Empty sums.
        ConvGeometry((0, 3, 5, 6), (4, 3, 3, 3)),
        ConvGeometry((2, 0, 5, 6), (4, 0, 3, 3)),
        ConvGeometry((2, 3, 0, 6), (4, 3, 3, 3), 1, 2),
    )


def full() -> Iterator[Case]:
    """Every combination of a few strides, paddings, dilations and groups, in one to three dimensions; minutes."""
    yield from quick()
    shapes = {1: ((2, 6, 19), (3,)), 2: ((2, 6, 9, 11), (3, 2)), 3: ((1, 6, 5, 6, 7), (2, 3, 2))}
    strides, dilations = ((1, 1, 1), (2, 2, 2), (3, 1, 2)), ((1, 1, 1), (2, 1, 2))
    paddings = ("valid", "same", "full", "uneven")
    for rank, stride, dilation, padding, groups in product(shapes, strides, dilations, paddings, (1, 2, 6)):
        x_shape, kernel = shapes[rank]
        pairs = ((2, 0), (0, 1), (1, 3))[-rank:] if padding == "uneven" else padding
        filters = 2 * groups if groups > 1 else 5
        w_shape = (filters, x_shape[1] // groups, *kernel)
        yield from _unnamed(ConvGeometry(x_shape, w_shape, stride[-rank:], pairs, dilation[-rank:], groups))
    yield from _unnamed(
        # Several blocks of tiles, for transforms.
        ConvGeometry((3, 32, 42, 46), (1, 32, 3, 3)),
        ConvGeometry((3, 1, 42, 46), (32, 1, 3, 3)),
        # Long sums, wide rows and many channels, beyond what blocks and tiles hold.
        ConvGeometry((2, 64, 30, 33), (70, 64, 3, 3), 1, 1),
        ConvGeometry((1, 130, 9, 9), (67, 130, 3, 3), 2, 1),
        ConvGeometry((2, 48, 20, 21), (48, 1, 5, 5), 1, 2, 1, 48),
        ConvGeometry((1, 3, 70, 75), (33, 3, 7, 7), 2, 3),
        ConvGeometry((1, 40, 1031), (36, 40, 3), 2, 1, 4),
        ConvGeometry((1, 24, 9, 14, 15), (20, 24, 3, 3, 3), 1, 1),
        ConvGeometry((2, 32, 17, 19), (64, 4, 3, 3), 1, 1, 1, 8),
    )


def grid() -> Iterator[Case]:
    """Every layer of small extents, one after another: over 100,000; minutes."""
    channels = cycle(((1, 1, 1, 1), (2, 2, 3, 1), (1, 2, 2, 2), (2, 4, 2, 2), (1, 3, 6, 3)))
    one, two = small_axes(7, 4, 3, 3, 3), small_axes(4, 3, 2, 2, 2)
    three = small_axes(2, 2, 2, 1, 1)
    for axes in chain(product(one, repeat=1), product(two, repeat=2), product(three, repeat=3)):
        x, kernel, stride, dilation, padding = zip(*axes, strict=True)
        N, C, F, groups = next(channels)
        yield from _unnamed(ConvGeometry((N, C, *x), (F, C // groups, *kernel), stride, padding, dilation, groups))


def small_axes(x: int, kernel: int, stride: int, dilation: int, padding: int) -> list[tuple[Any, ...]]:
    """Every axis up to these numbers that a kernel fits on: x, kernel, stride, dilation, (lo, hi)."""
    extents = (range(1, most + 1) for most in (x, kernel, stride, dilation))
    pairs = product(range(padding + 1), repeat=2)
    return [
        (*numbers, pair)
        for numbers, pair in product(product(*extents), pairs)
        if effective_kernel(numbers[1], numbers[3]) <= numbers[0] + sum(pair)
        and (numbers[3] == 1 or numbers[1] > 1)  # the dilation of a single tap says nothing
    ]


def _unnamed(*geometries: ConvGeometry) -> Iterator[Case]:
    for geom in geometries:
        yield Case(notation.to_word(geom), geom)


SUITES: dict[str, Callable[[], Iterator[Case]]] = {
    "quick": quick, "full": full, "layers": layers, "seed": seed, "grid": grid,
    "discriminating": discriminating,
}  # fmt: skip
