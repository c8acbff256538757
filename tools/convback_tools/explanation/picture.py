"""A picture of which entries of two factors meet. Imported only where one is wanted, as it needs matplotlib."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import matplotlib
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from convback_tools.explanation import formulas, maps
from convback_tools.explanation.indices import BY_TAP, place_letters
from convback_tools.explanation.panels import ENTRY, GAP, PADDING, PLAIN, Cell, Panel
from convback_tools.explanation.presentation import headline
from convback_tools.explanation.terms import Explanation

Axes: TypeAlias = Any  # so that types can be checked without matplotlib

# Lengths are inches, and y grows downwards.
CELL = 0.38
LEFT, BETWEEN, EQUALS, HEAD, TITLE, FOOT = 0.55, 0.55, 1.35, 0.8, 0.5, 0.6
LETTER = 0.074  # of a title
WIDEST = 16.0
MOST_LEADS = 4

FILL = {PLAIN: "white", PADDING: "0.88", GAP: "0.96", ENTRY: "#D55E00"}
INK = {PLAIN: "0.2", PADDING: "0.55", GAP: "0.65", ENTRY: "white"}
MEANING = {PADDING: "padding", GAP: "zero between entries", ENTRY: "the entry"}
HEADINGS: tuple[dict[str, Any], ...] = ({"fontsize": 11, "weight": "bold"}, {"fontsize": 9, "color": "0.3"})
HATCH: dict[str, Any] = {"hatch": "////", "edgecolor": "0.78", "facecolor": "none", "linewidth": 0}
DOT: dict[str, Any] = {"marker": "o", "markeredgecolor": "0.2", "markeredgewidth": 0.7, "linestyle": ""}
STYLE: Any = {
    "svg.hashsalt": "convback", "svg.fonttype": "none", "hatch.linewidth": 0.7, "font.family": "DejaVu Sans",
    "text.parse_math": False,  # the name of a file may have a $
}  # fmt: skip


def save(explanation: Explanation, source: str, path: Path) -> None:
    """Draw an entry into a file; its suffix says the format."""
    with matplotlib.rc_context(STYLE):
        # Without the date, one entry gives one and the same file.
        dated = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
        figure(explanation, source).savefig(path, dpi=150, metadata=dated.get(path.suffix.lower()))


def figure(explanation: Explanation, source: str) -> Figure:
    """Draw the maps of both factors, one pair for each lead, and that of the result with the entry."""
    result = maps.result(explanation)
    pairs, more = maps.factors(explanation, MOST_LEADS)
    while len(pairs) > 1 and _width(pairs, result, more) > WIDEST:
        pairs, more = pairs[:-1], more + 1
    panels = [panel for pair in [*pairs, (result,)] for panel in pair]
    lines, handles = _heading(explanation, source, panels), list(_legend(panels, explanation))
    heights = [max(len(panel.rows) for panel in row) * CELL for row in zip(*pairs, strict=True)] or [0.0]
    inside = max(sum(heights) + TITLE * len(heights), len(result.rows) * CELL + TITLE)
    key = sum(LETTER * len(handle.get_label()) + 0.45 for handle in handles)
    width = max(_width(pairs, result, more), *(LETTER * len(line) + LEFT for line in lines), key + LEFT)
    height = HEAD + inside + FOOT
    drawn = Figure(figsize=(width, height))
    axes = drawn.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    for line, y, style in zip(lines, (0.32, 0.6), HEADINGS, strict=True):
        axes.text(LEFT - 0.25, y, line, va="baseline", **style)
    _draw_maps(axes, pairs, result, heights, inside, more)
    axes.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(LEFT / width, 0.12 / height), ncols=len(handles), fontsize=8,
        frameon=False, borderpad=0, borderaxespad=0, columnspacing=1.6, handlelength=1.5, handleheight=1.5,
    )  # fmt: skip
    return drawn


def _heading(explanation: Explanation, source: str, panels: Sequence[Panel]) -> list[str]:
    formula = formulas.plain(explanation.op, explanation.form, explanation.layer)
    cut = "    (more falls outside of these windows)" if any(panel.is_cut for panel in panels) else ""
    return [f"{headline(explanation)} ({source})", formula + cut]


def _width(pairs: Sequence[Sequence[Panel]], result: Panel, more: int) -> float:
    between = BETWEEN * len(pairs) + (EQUALS - BETWEEN if more else 0)
    return LEFT + sum(map(_widest, [*pairs, [result]])) + between + 0.15


def _widest(pair: Sequence[Panel]) -> float:
    return max(max(len(panel.columns) * CELL, len(panel.title) * LETTER) for panel in pair)


def _draw_maps(
    axes: Axes, pairs: Sequence[Sequence[Panel]], result: Panel, heights: Sequence[float], inside: float, more: int
) -> None:
    x, middle = LEFT, HEAD + inside / 2
    for number, pair in enumerate(pairs):
        if number:
            _sign(axes, x - BETWEEN / 2 - 0.12, HEAD + TITLE + heights[0] / 2, "+")
        y = HEAD
        for panel, height in zip(pair, heights, strict=True):
            if y > HEAD:
                _sign(axes, x - 0.3, y + TITLE - 0.24, "×")
            _draw(axes, panel, x, y + TITLE)
            y += TITLE + height
        x += _widest(pair) + BETWEEN
    if more:
        x += EQUALS - BETWEEN
        _sign(axes, x - EQUALS / 2 - 0.12, middle, f"+ {more} more =", 9)
    elif pairs:
        _sign(axes, x - BETWEEN / 2 - 0.12, middle, "=")
    _draw(axes, result, x, middle - len(result.rows) * CELL / 2 + TITLE / 2)


def _sign(axes: Axes, x: float, y: float, sign: str, size: float = 14) -> None:
    axes.text(x, y, sign, fontsize=size, ha="center", va="center", color="0.3")


def _draw(axes: Axes, panel: Panel, x: float, y: float) -> None:
    """A map whose first cell has its corner at (x, y)."""
    axes.text(x, y - 0.27, panel.title, fontsize=9, weight="bold", va="baseline")
    _draw_indices(axes, panel, x, y)
    for (row, column), cell in panel.cells.items():
        corner = x + (column - panel.columns.start) * CELL, y + (row - panel.rows.start) * CELL
        _draw_cell(axes, cell, *corner)
        if (row, column) in panel.starts:
            _draw_start(axes, panel.starts[row, column], *corner)
    _draw_border(axes, panel, x, y)


def _draw_indices(axes: Axes, panel: Panel, x: float, y: float) -> None:
    for axis, shown in enumerate((panel.rows, panel.columns)):
        if axis == 0 and len(shown) == 1:
            continue  # in one dimension there is but one row
        for number, at in enumerate(shown):
            if at % panel.step[axis] == 0:
                along = (number + 0.5) * CELL
                place = (x + along, y - 0.06) if axis else (x - 0.06, y + along)
                aligned = {"ha": "center", "va": "baseline"} if axis else {"ha": "right", "va": "center"}
                axes.text(*place, str(at // panel.step[axis]), fontsize=6.5, color="0.45", **aligned)


def _draw_cell(axes: Axes, cell: Cell, x: float, y: float) -> None:
    shade = cell.mark.shade if cell.mark else None
    met = shade is not None
    fill = FILL[cell.kind] if shade is None else _tint(shade)
    axes.add_artist(Rectangle((x, y), CELL, CELL, facecolor=fill, edgecolor="0.75", linewidth=0.5))
    if cell.mark is not None and not met:
        axes.add_artist(Rectangle((x, y), CELL, CELL, **HATCH))
    size = 8.5 if len(cell.text) < 4 else 7 if len(cell.text) < 5 else 6
    ink = "black" if met else INK[cell.kind]
    weight = "bold" if cell.kind == ENTRY else "normal"
    axes.text(
        x + CELL / 2, y + CELL * (0.64 if cell.mark else 0.52), cell.text, fontsize=size, ha="center", va="center",
        color=ink, weight=weight,
    )  # fmt: skip
    if cell.mark is not None:
        axes.text(x + 0.03, y + 0.03, cell.mark.label, fontsize=5.5, ha="left", va="top", color="black")


def _draw_start(axes: Axes, shade: float | None, x: float, y: float) -> None:
    inside = "white" if shade is None else _tint(shade)
    axes.plot([x + CELL - 0.07], [y + 0.07], markersize=4.5, markerfacecolor=inside, **DOT)


def _draw_border(axes: Axes, panel: Panel, x: float, y: float) -> None:
    """The border of the map, as far as it is in the window."""
    windows = (panel.rows, panel.columns)
    inside = [
        [(at - shown.start) * CELL for at in (max(0, shown.start), min(extent, shown.stop))]
        for shown, extent in zip(windows, panel.extent, strict=True)
    ]
    for axis, (shown, extent) in enumerate(zip(windows, panel.extent, strict=True)):
        for edge in (0, extent):
            if shown.start <= edge <= shown.stop:
                along, across = inside[1 - axis], [(edge - shown.start) * CELL] * 2
                downs, rights = (along, across) if axis else (across, along)
                axes.plot(
                    [x + right for right in rights], [y + down for down in downs],
                    color="black", linewidth=1.3, solid_capstyle="projecting",
                )  # fmt: skip


def _tint(shade: float) -> tuple[float, float, float]:
    """A light colour, on which black is read well; its order is seen with any colour vision."""
    colour = matplotlib.colormaps["viridis"](0.1 + 0.85 * shade)
    red, green, blue = (0.45 * part + 0.55 for part in colour[:3])
    return red, green, blue


def _legend(panels: Sequence[Panel], explanation: Explanation) -> Iterator[Any]:
    cells = [cell for panel in panels for cell in panel.cells.values()]
    places = ",".join(place_letters(explanation.op, explanation.layer.geom))
    what = f"{'tap' if explanation.op in BY_TAP else 'output'} {places}"
    meet = "these are summed" if explanation.op == "db" else f"these meet: same {what}, same colour"
    if any(cell.mark and cell.mark.shade is not None for cell in cells):
        yield Patch(facecolor=_tint(0.6), edgecolor="0.75", label=meet)
    if any(cell.mark and cell.mark.shade is None for cell in cells):
        yield Patch(**HATCH, label=f"{what} that gives no term")
    for kind, meaning in MEANING.items():
        if any(cell.kind == kind for cell in cells):
            yield Patch(facecolor=FILL[kind], edgecolor="0.75", label=meaning)
    if any(panel.starts for panel in panels):
        yield Line2D([], [], markersize=5, markerfacecolor="white", **DOT, label="a window begins")
