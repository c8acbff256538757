"""Small cases that see mistakes, or tell them apart: the smallest of a list of layers, by products."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product

from convback import ConvbackError, ConvGeometry
from convback.contract import Array
from convback_tools.diagnosis.blindness import of_case
from convback_tools.diagnosis.candidates import Candidate
from convback_tools.diagnosis.catalogue import candidates
from convback_tools.diagnosis.telling import differ, integer_task
from convback_tools.submission import RESULTS

Progress = Callable[[str], None]
Way = tuple[str, str, str]  # a result, the id of a mistake, and its variant

LARGEST = {1: 400, 2: 5000, 3: 20_000}  # products of a listed layer
PER_SIZE = 400  # of the layers, from the smallest on, so many are tried


def layers(like: ConvGeometry) -> list[ConvGeometry]:
    """Layers with the features of another: stride, dilation, padding, groups and several images only if it has them."""
    rank = like.rank
    kernels = [(3, 2, 2)[:rank], (2, 3, 2)[:rank], (3, 3, 3)[:rank], (2, 2, 2)[:rank]]
    strides = [(2, 3, 2)[:rank], (2, 2, 2)[:rank]] if max(like.stride) > 1 else [(1,) * rank]
    dilations = [(1, 2, 1)[-rank:], (2, 1, 2)[:rank]] if max(like.dilation) > 1 else [(1,) * rank]
    uneven = any(lo != hi for lo, hi in like.padding)
    paddings = [((1, 2), (0, 1), (1, 0))[:rank]] if uneven else [((1, 1), (1, 1), (1, 1))[:rank]]
    if not any(map(sum, like.padding)):
        paddings = [((0, 0),) * rank]
    groups = [2, 3] if like.groups > 1 else [1]
    images = [2, 3] if like.N > 1 else [1]
    extents = [
        (5, 6, 4)[:rank],
        (6, 7, 5)[:rank],
        (8, 7, 4)[:rank],
        (6, 6, 6)[:rank],
        (8, 8, 4)[:rank],
        (9, 11, 5)[:rank],
    ]
    found = set()
    for N, G, C, F, *spatial in product(
        images, groups, (1, 2, 3), (2, 3), extents, kernels, strides, paddings, dilations
    ):
        x, kernel, stride, padding, dilation = spatial
        try:
            geom = ConvGeometry((N, G * C, *x), (G * F, C, *kernel), stride, padding, dilation, G)
        except ConvbackError:  # the kernel does not fit
            continue
        if geom.macs <= LARGEST[rank]:
            found.add(geom)
    return sorted(found, key=lambda geom: (geom.macs, geom.x_shape, geom.w_shape))


def seen(geom: ConvGeometry) -> set[Way]:
    """Every way to be wrong that a layer shows, on integers."""
    return {(sight.op, sight.candidate.id, sight.candidate.what) for sight in of_case(geom) if sight.seen}


def covering(like: ConvGeometry, advance: Progress = lambda _: None) -> tuple[list[ConvGeometry], int]:
    """As few and as small layers as see all that any of the listed ones sees; and how many ways to be wrong that is.

    Greedy: the one that sees most, the smallest of these; then what is left likewise.
    """
    sights: dict[ConvGeometry, set[Way]] = {}
    for geom in spread(layers(like)):
        advance(str(geom.x_shape))
        sights[geom] = seen(geom)
    left = set().union(*sights.values())
    total, chosen = len(left), []
    while left:
        best = max(sights, key=lambda geom: (len(sights[geom] & left), -geom.macs))
        chosen.append(best)
        left -= sights[best]
    return chosen, total


def spread(listed: Sequence[ConvGeometry], most: int = PER_SIZE // 4) -> list[ConvGeometry]:
    """At most so many of them, of all sizes."""
    step = -(-len(listed) // most)
    return list(listed[::step])


def telling(
    ids: Sequence[str], like: ConvGeometry, advance: Progress = lambda _: None
) -> tuple[str, ConvGeometry] | None:
    """A result and the smallest layer that shows each of these mistakes, and differently; None where there is none."""
    ops = [op for op in RESULTS if set(ids) <= {c.id for c in candidates(op, like.rank)}]
    for geom in layers(like)[:PER_SIZE]:
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
