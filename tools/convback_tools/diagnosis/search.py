"""Small cases that see mistakes, or tell them apart: the smallest of a list of layers, by products."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

from convback import ConvbackError, ConvGeometry
from convback.contract import Array
from convback.geometry import Shape
from convback_tools.diagnosis.blindness import of_case, sees
from convback_tools.diagnosis.candidates import Candidate
from convback_tools.diagnosis.catalogue import by_name, candidates
from convback_tools.diagnosis.telling import differ, integer_task
from convback_tools.submission import RESULTS

Progress = Callable[[str], None]
Way = tuple[str, str, str]  # a result, the id of a mistake, and its variant

LARGEST = {1: 400, 2: 5000, 3: 20_000}  # products of a listed layer

# Of the axes of the layers that are listed, the first ones count.
EXTENTS = ((5, 6, 4), (6, 7, 5), (8, 7, 4), (6, 6, 6), (8, 8, 4), (9, 11, 5))
KERNELS = ((3, 2, 2), (2, 3, 2), (3, 3, 3), (2, 2, 2))
STRIDES = ((2, 3, 2), (2, 2, 2))
DILATIONS = ((2, 1, 2), (1, 2, 1))
EVEN = (((1, 1), (1, 1), (1, 1)),)
UNEVEN = (((1, 2), (0, 1), (1, 0)),)

MOST_TRIED = 400  # of the layers, from the smallest on, so many are tried


def layers(like: ConvGeometry) -> list[ConvGeometry]:
    """Layers with the features of another: stride, dilation, padding, groups and several images only if it has them."""
    plain, padded = ((1, 1, 1),), any(map(sum, like.padding))
    even = all(lo == hi for lo, hi in like.padding)
    spatial = (
        EXTENTS,
        KERNELS,
        STRIDES if max(like.stride) > 1 else plain,
        (((0, 0),) * 3,) if not padded else EVEN if even else UNEVEN,
        DILATIONS if max(like.dilation) > 1 else plain,
    )
    axes = product(*([row[: like.rank] for row in rows] for rows in spatial))
    channels = product((2, 3) if like.N > 1 else (1,), (2, 3) if like.groups > 1 else (1,), (1, 2, 3), (2, 3))
    found = {geom for numbers, rows in product(channels, axes) if (geom := _layer(numbers, rows)) is not None}
    small = (geom for geom in found if geom.macs <= LARGEST[like.rank])
    return sorted(small, key=lambda geom: (geom.macs, geom.x_shape, geom.w_shape))


def _layer(numbers: Shape, rows: tuple[Any, ...]) -> ConvGeometry | None:
    """A layer of so many images, groups, channels and filters a group, None where the kernel does not fit."""
    N, G, C, F = numbers
    x, kernel, stride, padding, dilation = rows
    try:
        return ConvGeometry((N, G * C, *x), (G * F, C, *kernel), stride, padding, dilation, G)
    except ConvbackError:
        return None


def seen(geom: ConvGeometry) -> set[Way]:
    """Every way to be wrong that a layer shows, on integers."""
    return {(sight.op, sight.candidate.id, sight.candidate.what) for sight in of_case(geom) if sight.seen}


def covering(like: ConvGeometry, advance: Progress = lambda _: None) -> tuple[list[ConvGeometry], int]:
    """Layers that together see all that any does; and how many ways to be wrong that is.

    The smallest one that sees all, if there is one; else the one that sees most, then what is left likewise.
    """
    listed, sights = layers(like), {}
    for geom in spread(listed):
        advance(str(geom.x_shape))
        sights[geom] = seen(geom)
    left = set().union(*sights.values())
    total = len(left)
    if alone := _smallest(listed, sorted(left)):
        return [alone], total
    chosen = []
    while left:
        best = max(sights, key=lambda geom: (len(sights[geom] & left), -geom.macs))
        chosen.append(best)
        left -= sights[best]
    return chosen, total


def spread(listed: Sequence[ConvGeometry], most: int = 100) -> list[ConvGeometry]:
    """At most so many of them, of all sizes."""
    return list(listed[:: -(-len(listed) // most)])


def _smallest(listed: Sequence[ConvGeometry], ways: list[Way]) -> ConvGeometry | None:
    """The first that sees all."""
    for geom in listed:
        unseen = next((way for way in ways if not _sees(geom, way)), None)
        if unseen is None:
            return geom
        ways.insert(0, ways.pop(ways.index(unseen)))  # it is likely to fail the next one as well
    return None


def _sees(geom: ConvGeometry, way: Way) -> bool:
    op, name, what = way
    return sees(integer_task(op, geom), by_name(op, geom.rank)[name, what])


def telling(
    ids: Sequence[str], like: ConvGeometry, advance: Progress = lambda _: None
) -> tuple[str, ConvGeometry] | None:
    """A result and the smallest layer that shows each of these mistakes, and differently; None where there is none."""
    ops = [op for op in RESULTS if set(ids) <= {c.id for c in candidates(op, like.rank)}]
    for geom in layers(like)[:MOST_TRIED]:
        advance(str(geom.x_shape))
        for op in ops:
            if _all_differ([c for c in candidates(op, like.rank) if c.id in ids], op, geom):
                return op, geom
    return None


def _all_differ(chosen: Sequence[Candidate], op: str, geom: ConvGeometry) -> bool:
    """Whether mistakes of different ids give different results, and each id one that is wrong."""
    right = integer_task(op, geom)
    expected = right.result()
    made: list[tuple[str, Array]] = []
    for candidate in chosen:
        result = candidate.result(right)
        if result is not None and differ(expected, result):
            if any(name != candidate.id and not differ(result, other) for name, other in made):
                return False
            made.append((candidate.id, result))
    return {name for name, _ in made} == {candidate.id for candidate in chosen}
