"""The maps on which the terms of an entry meet.

For each lead (a channel of y, a filter of dx, an image of dw and db) both factors have a map. All is done in three
dimensions, of which the first may have extent 1: a map is the plane of one depth, and each pair of depths that meet
makes a pair of maps. In the gather form, dy of dx is spread by the stride, so that the kernel lies upon it as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import NamedTuple

from convback import ConvGeometry
from convback.geometry import Shape
from convback_tools.explanation.indices import BY_TAP, FACTORS, entry, in_kernel, index_letters, kernel_letters, map_of
from convback_tools.explanation.panels import Mark, Panel, Place, Plane, short
from convback_tools.explanation.terms import Explanation, batch_filter_channel, standpoint

Space = tuple[int, int, int]


class _Spot(NamedTuple):
    """A tap (of dw and db an output position)."""

    at: Space
    mark: Mark


def factors(explanation: Explanation, most: int) -> tuple[list[tuple[Panel, ...]], int]:
    """The maps of the factors for the first `most` leads, and how many leads more there are."""
    every = list(product(explanation.leads, _spots(explanation).values()))
    return [_panels(explanation, lead, spots) for lead, spots in every[:most]], max(0, len(every) - most)


def result(explanation: Explanation) -> Panel:
    """The map of the result, in which only the entry has a number."""
    op, index, space = explanation.op, explanation.index, explanation.layer.geom.as3d()
    value = short(explanation.value)
    if op == "db":
        return Plane("db", (1, space.F)).panel_around((0, index[0]), value, {})
    planes = {"y": Plane("", _plane(space.y_spatial)), "dw": Plane("", _plane(space.kernel)), "dx": _plane_of_x(space)}
    plane = replace(planes[op], title=_title(op, index, explanation))
    return plane.panel_around(_plane(_deep(index[2:])), value, _covering(explanation) if op == "dx" else {})


def _spots(explanation: Explanation) -> Mapping[int, list[_Spot]]:
    """What may meet, by its depth: the depths at which something does, and the only one where there is none."""
    rank = explanation.layer.geom.rank
    meeting = {_deep(term.tap if explanation.op in BY_TAP else term.output) for term in explanation.terms}
    every = sorted(meeting | {_deep(missing.index) for missing in explanation.missing})
    by_depth: dict[int, list[_Spot]] = {}
    for number, index in enumerate(every):
        shade = number / max(1, len(every) - 1) if index in meeting else None
        by_depth.setdefault(index[0], []).append(_Spot(index, Mark(",".join(map(str, index[3 - rank :])), shade)))
    alive = {index[0] for index in meeting} or {0}
    return {depth: spots for depth, spots in by_depth.items() if depth in alive and (meeting or rank < 3)}


def _covering(explanation: Explanation) -> dict[Place, float | None]:
    """Where the windows begin that cover an entry of dx."""
    dilation, stand = explanation.layer.geom.as3d().dilation, _standpoint(explanation)
    return {
        _plane(tuple(r - k * d for r, k, d in zip(stand, spot.at, dilation, strict=True))): spot.mark.shade
        for spots in _spots(explanation).values()
        for spot in spots
        if spot.mark.shade is not None
    }


def _panels(explanation: Explanation, lead: int, spots: Sequence[_Spot]) -> tuple[Panel, ...]:
    n, f, c = batch_filter_channel(explanation.op, explanation.index, lead, explanation.layer.geom)
    firsts = ((name, map_of(name, n, f, c, explanation.layer.geom)) for name in FACTORS[explanation.op])
    return tuple(_panel(explanation, name, first, spots) for name, first in firsts)


def _panel(explanation: Explanation, name: str, first: Shape, spots: Sequence[_Spot]) -> Panel:
    array, rank = getattr(explanation.layer, name), explanation.layer.geom.rank
    plane, steps = _plane_of(name, explanation)
    if explanation.form == "scatter" and name == "dy":
        spots = [spot for spot in spots if spot.mark.shade is not None]  # the others lie between its entries, or beyond
    fallen = {_place(name, spot.at, explanation): spot.mark for spot in spots}
    depth = next((at[0] // steps[0] for at, mark in fallen.items() if mark.shade is not None), 0)
    title = _title(name, (*first, depth), explanation) + (", spread by the stride" if max(steps) > 1 else "")
    values = array.reshape(array.shape[:2] + (1,) * (3 - rank) + array.shape[2:])[(*first, depth)]
    marks = {_plane(at): mark for at, mark in fallen.items()}
    return replace(plane, title=title, values=values).panel(marks)


def _title(name: str, index: Shape, explanation: Explanation) -> str:
    """A map as an entry whose last indices are letters."""
    layer = explanation.layer
    own = index_letters(name, layer.geom)
    if name in ("w", "dw"):
        own = (*own[:2], *kernel_letters(layer))
    known = max(2, len(own) - 2)
    return entry(name, (*index[:known], *own[known:]))


def _plane_of(name: str, explanation: Explanation) -> tuple[Plane, Shape]:
    """A map of a factor, and the distance of its entries on every axis."""
    space = explanation.layer.geom.as3d()
    ones = (1, 1, 1)
    if name == "x":
        return _plane_of_x(space), ones
    if name == "w":
        return Plane("", _plane(space.kernel)), ones
    steps = space.stride if explanation.reads_backwards else ones
    extent = tuple((y - 1) * step + 1 for y, step in zip(space.y_spatial, steps, strict=True))
    return Plane("", _plane(extent), step=_plane(steps)), steps


def _plane_of_x(space: ConvGeometry) -> Plane:
    lo = [pair[0] for pair in space.padding]
    starts = [range(-p, s * y - p, s) for p, s, y in zip(lo, space.stride, space.y_spatial, strict=True)]
    strided = max(space.stride) > 1  # without a stride they are everywhere
    nowhere = (range(0), range(0))
    return Plane(
        "",
        _plane(space.x_spatial),
        padding=(space.padding[1], space.padding[2]),
        starts=(starts[1], starts[2]) if strided else nowhere,
    )


def _place(name: str, index: Space, explanation: Explanation) -> Shape:
    """Where a tap, or an output position, falls on the map of a factor."""
    op, layer = explanation.op, explanation.layer
    if name == "w":
        return _deep(in_kernel(index[3 - layer.geom.rank :], layer))
    if op in ("dw", "db") and name == "dy":
        return index
    space, stand = layer.geom.as3d(), _standpoint(explanation)
    output, tap = (index, stand) if op == "dw" else (stand, index)
    axes = zip(output, tap, space.stride, space.dilation, space.padding, strict=True)
    if op != "dx":
        return tuple(i * s + k * d - lo for i, k, s, d, (lo, _) in axes)
    # `stand` is an input position here.
    spread = tuple((r + lo - k * d, s) for r, k, s, d, (lo, _) in axes)
    return tuple(at if explanation.reads_backwards else at // s for at, s in spread)


def _standpoint(explanation: Explanation) -> Space:
    return _deep(standpoint(explanation.op, explanation.index, explanation.layer))


def _deep(position: Shape) -> Space:
    """A position in three dimensions."""
    first, second, third = (0,) * (3 - len(position)) + position
    return first, second, third


def _plane(position: Sequence[int]) -> Place:
    """What is left of it on the plane of one depth."""
    return position[1], position[2]
