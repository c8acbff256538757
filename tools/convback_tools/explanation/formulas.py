"""The formula of a gradient in index notation, with the numbers of a layer put in: as plain text and as LaTeX."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from convback import ConvGeometry
from convback_tools.explanation.indices import (
    FACTORS,
    INPUT,
    LEAD,
    OUTPUT,
    TAP,
    entry,
    index_letters,
    kernel_letters,
    letters,
    place_letters,
)
from convback_tools.submission import Submission


@dataclass(frozen=True)
class Style:
    """How to write an entry, a multiple, a fraction, and a quotient rounded down."""

    entry: Callable[[str, Sequence[Any]], str]
    times: str
    fraction: str
    floor: str

    def scaled(self, number: int, letter: str) -> str:
        return letter if number == 1 else f"{number}{self.times}{letter}"


def latex_entry(name: str, index: Sequence[Any]) -> str:
    """An entry, its indices below."""
    symbol = name if len(name) == 1 else rf"\mathit{{{name}}}"
    return f"{symbol}_{{{','.join(map(str, index))}}}"


PLAIN = Style(entry, "*", "({})/{}", "{}//{}")
LATEX = Style(latex_entry, "", r"\frac{{{}}}{{{}}}", r"\lfloor {}/{} \rfloor")


@dataclass(frozen=True)
class Formula:
    """result = bias + sum over `summed` of the product of `factors`, where the last hold; all of them text."""

    result: str
    bias: str
    summed: tuple[str, ...]
    factors: tuple[str, ...]
    where: tuple[str, ...]


def formula(op: str, form: str, layer: Submission, style: Style) -> Formula:
    """The formula of y, dx, dw or db for the geometry of a layer."""
    geom = layer.geom
    index = {name: index_letters(name, geom) for name in ("x", "w", "dy", "y", "dx", "dw", "db", "b")}
    if geom.groups > 1:
        channel = f"{style.scaled(geom.w_shape[1], 'g')}+c"
        index |= {name: ("n", channel, *letters(INPUT, geom)) for name in ("x", "dx")}
    index |= {name: ("f", "c", *kernel_letters(layer)) for name in ("w", "dw")}
    return Formula(
        style.entry(op, index[op]),
        style.entry("b", index["b"]) if op == "y" and layer.b is not None else "",
        summed(op, form, geom),
        tuple(style.entry(name, index[name]) for name in FACTORS[op]),
        tuple(_where(op, form, geom, style)),
    )


def plain(op: str, form: str, layer: Submission) -> str:
    """The formula as one line of text."""
    parts = formula(op, form, layer, PLAIN)
    product = " * ".join(parts.factors)
    where = f", where {', '.join(parts.where)}" if parts.where else ""
    if form == "scatter":
        return f"{product} lands on {parts.result}{where}"
    bias = f"{parts.bias} + " if parts.bias else ""
    return f"{parts.result} = {bias}sum over {','.join(parts.summed)} of {product}{where}"


def summed(op: str, form: str, geom: ConvGeometry) -> tuple[str, ...]:
    """The letters that list a term; in the scatter form an output position and a tap, which say where it lands."""
    places = letters(OUTPUT, geom) + letters(TAP, geom) if form == "scatter" else place_letters(op, geom)
    return (LEAD[op], *places)


def _where(op: str, form: str, geom: ConvGeometry, style: Style) -> list[str]:
    if op == "db":
        return []
    write = _output if op == "dx" and form == "gather" else _input
    positions = [write(geom, axis, style) for axis in range(geom.rank)]
    return positions + ([f"g = {style.floor.format('f', geom.F // geom.groups)}"] if geom.groups > 1 else [])


def _input(geom: ConvGeometry, axis: int, style: Style) -> str:
    i, k, r = (letters(triple, geom)[axis] for triple in (OUTPUT, TAP, INPUT))
    lo = geom.padding[axis][0]
    sides = f"{style.scaled(geom.stride[axis], i)} + {style.scaled(geom.dilation[axis], k)}"
    return f"{r} = {sides}{f' - {lo}' if lo else ''}"


def _output(geom: ConvGeometry, axis: int, style: Style) -> str:
    i, k, r = (letters(triple, geom)[axis] for triple in (OUTPUT, TAP, INPUT))
    lo, stride = geom.padding[axis][0], geom.stride[axis]
    distance = f"{r}{f' + {lo}' if lo else ''} - {style.scaled(geom.dilation[axis], k)}"
    return f"{i} = {distance if stride == 1 else style.fraction.format(distance, stride)}"
