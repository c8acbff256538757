"""What `convback shape` shows: a report of a layer, of the x that a y may come from, of the parameters that fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from textwrap import indent
from typing import Any

from convback import ConvGeometry
from convback.geometry import Pairs, Shape
from convback_tools import notation
from convback_tools.report import Report
from convback_tools.shapes import calculator
from convback_tools.shapes.calculator import Ranges
from convback_tools.shapes.inverse import Origin
from convback_tools.shapes.words import LIBRARIES
from convback_tools.shapes.words.common import is_even, leading, same
from convback_tools.submission import MODES

SHOWN = 12  # rows of a table
LISTED = 6  # ranges of positions in a cell
FLIPPED = "In mode convolution, w and dw here are your kernel and its gradient rotated by 180 degrees."
DIVISION = "Shapes tell the sum of the padding of an axis, not how it is divided between the start and the end."
NO_FIT = (
    "No stride from 1 to 8 or as long as the kernel, with a dilation from 1 to 4 and padding up to what the kernel "
    "covers, gives this y; parameters that you give are not changed."
)


@dataclass(frozen=True)
class Fit:
    """A layer that gives y its shape.

    Attributes
    ----------
    options : str
        Its parameters as options of the command.
    word : str
        Its problem word.
    """

    stride: Shape
    padding: Pairs
    dilation: Shape
    groups: int
    options: str
    word: str


def of_layer(name: str, geom: ConvGeometry, libraries: Sequence[str], mode: str | None) -> Report:
    """The shapes of a layer, and the layer in the words of others."""
    axes, problem = calculator.axes(geom), notation.to_word(geom)
    shapes = {
        "x": geom.x_shape, "w": geom.w_shape, "y": geom.y_shape,
        "dx": geom.x_shape, "dw": geom.w_shape, "db": (geom.F,),
    }  # fmt: skip
    cells = [
        [a.axis, *map(str, (a.x, f"{a.padding_lo} + {a.padding_hi}", a.kernel, a.dilation, a.stride, a.y)), a.formula,
         _positions(a.unread)] for a in axes
    ]  # fmt: skip
    return Report(
        rows=axes,
        title=f"convback shape: {name and f'{name}: '}x {geom.x_shape}, w {geom.w_shape}: y {geom.y_shape}",
        columns=["axis", "x", "padding", "kernel", "dilation", "stride", "y", "as y is", "x that no window reads"],
        cells=cells,
        notes=[
            f"dy {geom.y_shape}, dx {geom.x_shape}, dw {geom.w_shape}, db {(geom.F,)}",
            f"{geom.macs:,} products in each of y, dx and dw",
            *(["dx is zero where no window reads x."] if any(a.unread for a in axes) else []),
            f"problem {problem}",
            *(_in_full(geom, libraries, mode) if libraries else _in_short(geom)),
        ],
        extra={"problem": problem, "shapes": shapes, "macs": geom.macs, "words": _in_json(geom, libraries)},
    )


def of_origin(origin: Origin, libraries: Sequence[str], mode: str | None) -> Report:
    """What x may have been, axis by axis; the words are those of the default."""
    geom = origin.default
    cells = [
        [e.axis, *map(str, (e.y, e.x, f"{e.padding_lo} + {e.padding_hi}", e.output_padding)), "yes" * e.default]
        for axis in origin.extents
        for e in axis[:SHOWN]
    ]
    more = [f"axis {axis[0].axis}: and so on, up to {axis[-1].x}" for axis in origin.extents if len(axis) > SHOWN]
    return Report(
        rows=list(chain.from_iterable(origin.extents)),
        title=f"convback shape: y {geom.y_shape}, w {geom.w_shape}: x {geom.x_shape}, or another of these extents",
        columns=["axis", "y", "x", "padding", "output_padding", "default"],
        cells=cells,
        notes=[
            *more,
            "A transposed layer gives the default extents, and the others if it is told their output_padding.",
            *_in_full(geom, libraries, mode),
        ],
        extra={"x": geom.x_shape, "problem": notation.to_word(geom), "words": _in_json(geom, libraries)},
    )


def of_fits(
    shapes: Sequence[Shape], fits: Sequence[ConvGeometry], libraries: Sequence[str], mode: str | None
) -> Report:
    """The parameters that lead from x and w to y; the words are those of the simplest."""
    x, w, y = shapes
    rows = [Fit(g.stride, g.padding, g.dilation, g.groups, _options(g), notation.to_word(g)) for g in fits]
    notes = [NO_FIT] if not fits else [DIVISION]
    if len(fits) > SHOWN:
        notes.insert(0, f"and {len(fits) - SHOWN} others, less simple; --format json lists them")
    return Report(
        rows=rows,
        title=f"convback shape: {len(fits)} {'layer gives' if len(fits) == 1 else 'layers give'} y {y} "
        f"of x {x} and w {w}",
        columns=["stride", "padding", "dilation", "groups", "as options"],
        cells=[[*map(str, (r.stride, r.padding, r.dilation, r.groups)), r.options] for r in rows[:SHOWN]],
        notes=[*notes, *(_in_full(fits[0], libraries, mode) if fits else [])],
        extra={"words": _in_json(fits[0], libraries) if fits else {}},
    )


def _positions(ranges: Ranges | None) -> str:
    """Ranges as a list of positions, shortened where it is long."""
    if ranges is None:
        return "not looked up"
    texts = [str(start) if stop == start + 1 else f"{start}-{stop - 1}" for start, stop in ranges[:LISTED]]
    if len(ranges) > LISTED:
        texts.append(f"... {sum(stop - start for start, stop in ranges)} in all")
    return ", ".join(texts) or "-"


def _options(geom: ConvGeometry) -> str:
    """The parameters as the command takes them, without those that are the default."""
    if is_even(geom):
        padding = _numbers(leading(geom))
    else:
        padding = "same" if geom.padding == same(geom) else ",".join(f"{lo}:{hi}" for lo, hi in geom.padding)
    given = {
        "stride": _numbers(geom.stride), "padding": padding, "dilation": _numbers(geom.dilation),
        "groups": str(geom.groups),
    }  # fmt: skip
    return " ".join(f"--{name} {text}" for name, text in given.items() if name in ("stride", "padding") or text != "1")


def _numbers(values: Sequence[int]) -> str:
    return ",".join(map(str, values[:1] if len(set(values)) == 1 else values))


def _in_short(geom: ConvGeometry) -> list[str]:
    """The forward pass in the words of every library."""
    every = [words(geom) for words in LIBRARIES.values()]
    width = max(len(words.library) for words in every)
    lines = "\n".join(f"    {words.library:{width}}  {words.layer}" for words in every)
    return ["\nIn the words of others; with --in pytorch (and so on) dx, dw and db, too:", lines]


def _in_full(geom: ConvGeometry, libraries: Sequence[str], mode: str | None) -> list[str]:
    """All of y, dx, dw and db in the words of some libraries."""
    notes = []
    for words in (LIBRARIES[name](geom) for name in libraries):
        notes += [f"\nIn the words of {words.library}:", indent(words.code, "    "), *words.notes]
    if libraries and mode == MODES[1]:
        notes.append(FLIPPED)
    return notes


def _in_json(geom: ConvGeometry, libraries: Sequence[str]) -> dict[str, Any]:
    return {name: asdict(LIBRARIES[name](geom)) for name in libraries or LIBRARIES}
