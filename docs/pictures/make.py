"""Draw the pictures of docs/gradients.md: `python docs/pictures/make.py [FOLDER]`, with matplotlib at hand.

Every number in them is computed here, from the operands that the text uses as well. The same matplotlib writes the same
bytes, so the pictures can be compared with what is committed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle

Axes: TypeAlias = Any  # so that types can be checked without matplotlib
Numbers: TypeAlias = Any  # an array, or nested lists

# Tints of Okabe and Ito's colours, which people with any colour vision can tell apart, and the colours in full.
TINTS = ("#F6D58E", "#A9D8F3", "#8FD3BA", "#EBC3D9")
YELLOW, OVERLAP = TINTS[0], (None, "#E9E9E9", "#CFCFCF")
BLUE, ORANGE, GREY, FAINT = "#0072B2", "#D55E00", "#6B6B6B", "#C4C4C4"
TITLE = {"ha": "left", "fontsize": 10, "fontweight": "bold"}
WIDTH = 7.2  # inches; shown about 700 pixels wide, so that a text of 9 points has letters of 12 pixels

X = np.array([[1, 0, 2, 1], [3, 1, 0, 2], [0, 2, 1, 1], [1, 1, 3, 0]])
W = np.array([[1, 2], [3, 4]])
W3 = np.arange(1, 10).reshape(3, 3)
DY = np.array([[1, 1, 2], [2, 3, 1], [1, 2, 1]])


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure whose units are cells, counted from the top left."""
    figure = Figure(figsize=(WIDTH, WIDTH * height / width), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.axis("off")
    return figure, axes


def text(axes: Axes, x: float, y: float, words: str, **style: Any) -> None:
    axes.text(x, y, words, **{"fontsize": 9, "ha": "center", "va": "center", **style})


def cells(
    axes: Axes, left: float, top: float, numbers: Numbers, fill: Callable[[int, int], str | None] = lambda r, s: None,
    size: float = 1, faint: Callable[[int, int], bool] = lambda r, s: False,
) -> None:  # fmt: skip
    """A matrix as squares, each with its number; `fill` says a colour, `faint` which are zeros that were put there."""
    for (r, s), number in np.ndenumerate(np.asarray(numbers)):
        corner = left + s * size, top + r * size
        box(axes, *corner, size, size, GREY, fill(r, s) or "white", linewidth=0.6)
        colour = "#8A8A8A" if faint(r, s) else "black"
        text(axes, corner[0] + size / 2, corner[1] + size / 2, f"{number}", color=colour)


def box(
    axes: Axes, left: float, top: float, width: float, height: float, edge: str, face: str = "none", **style: Any
) -> None:
    axes.add_patch(Rectangle((left, top), width, height, edgecolor=edge, facecolor=face, **{"linewidth": 2.2, **style}))


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], colour: str = GREY) -> None:
    style: dict[str, Any] = {"arrowstyle": "-|>", "mutation_scale": 11, "shrinkA": 0, "shrinkB": 0, "linewidth": 1.3}
    axes.add_patch(FancyArrowPatch(start, end, color=colour, **style))


def window(kernel: Numbers, row: int, column: int) -> Callable[[int, int], str | None]:
    """The colour of each cell under a window: that of the weight which meets it there."""
    height, width = np.shape(kernel)

    def fill(r: int, s: int) -> str | None:
        inside = row <= r < row + height and column <= s < column + width
        return TINTS[kernel[r - row][s - column] - 1] if inside else None

    return fill


def correlate(x: Numbers, w: Numbers) -> Numbers:
    windows = np.lib.stride_tricks.sliding_window_view(x, np.shape(w))
    return np.einsum("ijkl,kl->ij", windows, w)


def spelled(window: Numbers, kernel: Numbers) -> str:
    pairs = zip(np.ravel(window), np.ravel(kernel), strict=True)
    return " + ".join(f"{a}·{b}" for a, b in pairs) + f" = {np.sum(np.multiply(window, kernel))}"


def one_channel() -> Figure:
    """2-D, one channel: y from x, and dx from dy by the same operation with the kernel rotated and zeros around."""
    figure, axes = canvas(21, 15.2)
    rotated, around = W[::-1, ::-1], np.pad(DY, 1)
    row, column = 1, 2
    _correlation(axes, 0.8, "x", X, W, "y", row, column)
    text(axes, 0.6, 0.6, "forward:  y = x correlated with w", **TITLE)
    text(axes, 10.5, 6.3, f"y[{row},{column}] = {spelled(X[row : row + 2, column : column + 2], W)}")
    title = "backward:  dx = dy, with zeros around, correlated with w turned by 180 degrees"
    text(axes, 0.6, 7.9, title, **TITLE)
    _correlation(axes, 8.1, "dy, with zeros around", around, rotated, "dx", row, column)
    text(axes, 10.5, 14.6, f"dx[{row},{column}] = {spelled(around[row : row + 2, column : column + 2], rotated)}")
    return figure


def _correlation(
    axes: Axes, top: float, name: str, a: Numbers, kernel: Numbers, result: str, row: int, column: int
) -> None:
    """a, kernel and result side by side, with the window of one entry."""
    middle, answer = top + 2.9, correlate(a, kernel)
    height, width = a.shape
    first = middle - height / 2
    border = name != "x"
    cells(
        axes, 3.2 - width / 2 + 0.3, first, a, window(kernel, row, column),
        faint=lambda r, s: border and (r in (0, height - 1) or s in (0, width - 1)),
    )  # fmt: skip
    text(axes, 3.5, first + height + 0.4, name)
    text(axes, 7.4, middle, "⋆", fontsize=18)
    cells(axes, 9, middle - 1, kernel, window(kernel, 0, 0))
    text(axes, 10, middle + 1.4, "w rotated" if border else "w")
    text(axes, 12.6, middle, "=", fontsize=14)
    left, first = 16.2 - answer.shape[1] / 2, middle - answer.shape[0] / 2
    cells(axes, left, first, answer)
    box(axes, left + column, first + row, 1, 1, BLUE)
    text(axes, 16.2, first + answer.shape[0] + 0.4, result)


def axes_swapped() -> Figure:
    """The grid of F x C kernels: y[f] takes a row of it, dx[c] a column, each kernel rotated."""
    figure, axes = canvas(24, 13.4)
    _grid(axes, 0.9, 1, back=False)
    _grid(axes, 13.2, 2, back=True)
    text(axes, 5.6, 0.6, "forward: y[1] takes row 1", fontsize=10, fontweight="bold", color=BLUE)
    text(axes, 17.9, 0.6, "backward: dx[2] takes column 2", fontsize=10, fontweight="bold", color=ORANGE)
    text(axes, 5.6, 12.1, "y[f] = sum over c of x[c] ⋆ w[f,c]")
    text(axes, 17.9, 12.1, "dx[c] = sum over f of\nfull(dy[f], w[f,c] rotated)")
    return figure


def _grid(axes: Axes, left: float, at: int, back: bool) -> None:
    """F = 3 rows of C = 4 kernels. Forward a row is marked, between x above and y at the right; back a column."""
    colour = ORANGE if back else BLUE
    patterns = np.random.default_rng(4).permuted(np.tile(np.arange(9), (3, 4, 1)), axis=2).reshape(3, 4, 3, 3)
    step, top, size = 1.9, 4.6, 1.3
    for row, column in np.ndindex(3, 4):
        pattern = patterns[row, column]
        marked = at == (column if back else row)
        corner = left + 0.3 + column * step, top + 0.3 + row * step
        _kernel(axes, *corner, size, pattern[::-1, ::-1] if back and marked else pattern, colour if marked else FAINT)
    for column in range(4):
        used = not back or column == at
        x = left + 0.3 + column * step
        _map(axes, x, 1.5, size, f"{'dx' if back else 'x'}[{column}]", colour if used else FAINT)
        if used:
            ends = (x + size / 2, 1.6 + size), (x + size / 2, top - 0.15 if back else top + 0.1)
            arrow(axes, *(ends[::-1] if back else ends), colour)
    for row in range(3):
        used = back or row == at
        y = top + 0.3 + row * step
        _map(axes, left + 8.5, y, size, f"{'dy' if back else 'y'}[{row}]", colour if used else FAINT)
        if used:
            ends = (left + 7.75, y + size / 2), (left + 8.4, y + size / 2)
            arrow(axes, *(ends[::-1] if back else ends), colour)
    if back:
        box(axes, left + 0.12 + at * step, top + 0.1, size + 0.36, 3 * step - 0.2, colour)
    else:
        box(axes, left + 0.1, top + 0.12 + at * step, 4 * step - 0.2, size + 0.36, colour)
    text(axes, left + 3.9, top + 3 * step + 0.4, "w[f,c]:  f downwards, c to the right", color=GREY)


def _kernel(axes: Axes, left: float, top: float, size: float, pattern: Numbers, colour: str) -> None:
    """A kernel as 3 x 3 shades, so that one sees whether it was turned."""
    for (k, l), shade in np.ndenumerate(pattern):
        place = left + l * size / 3, top + k * size / 3
        box(axes, *place, size / 3, size / 3, "white", colour, alpha=0.12 + 0.88 * shade / 8, linewidth=0.4)
    box(axes, left, top, size, size, colour, linewidth=0.8)


def _map(axes: Axes, left: float, top: float, size: float, name: str, colour: str) -> None:
    box(axes, left, top, size, size, colour, linewidth=1.4)
    text(axes, left + size / 2, top + size / 2, name, color="#8A8A8A" if colour == FAINT else "black", fontsize=8.5)


def stride_two() -> Figure:
    """Stride 2: each entry of dy adds a copy of w two steps from its neighbour's; or zeros stand between dy."""
    figure, axes = canvas(28, 23.8)
    spread, put = np.zeros((9, 9), int), np.ones((9, 9), bool)
    spread[2:-2:2, 2:-2:2], put[2:-2:2, 2:-2:2] = DY, False
    dx, rotated = correlate(spread, W3[::-1, ::-1]), W3[::-1, ::-1]

    text(axes, 0.6, 0.7, "scatter:  each entry of dy adds a copy of w, 2 steps apart", **TITLE)
    cells(axes, 4, 3.7, DY, lambda i, j: YELLOW if (i, j) == (1, 1) else None)
    cells(axes, 13, 3.7, W3)
    cells(axes, 19.5, 1.7, dx, lambda r, s: OVERLAP[(r in (2, 4)) + (s in (2, 4))])
    box(axes, 21.5, 3.7, 3, 3, BLUE)
    for x, y, words in ((5.5, 7.2, "dy"), (14.5, 7.2, "w"), (23, 9.2, "dx   (grey: copies overlap)")):
        text(axes, x, y, words)
    text(axes, 11.5, 10.3, "dx[2..4, 2..4]  +=  dy[1,1] · w      (framed)")
    for x, sign in ((10, "×"), (17.75, "→")):
        text(axes, x, 5.2, sign, fontsize=16)

    r, s = 2, 3
    text(axes, 0.6, 11.9, "gather:  zeros between and around dy, then as with stride 1", **TITLE)
    cells(axes, 1, 12.9, spread, lambda i, j: None if put[i, j] else YELLOW, faint=lambda i, j: put[i, j])
    box(axes, 1 + s, 12.9 + r, 3, 3, BLUE)
    meets = ~put[r : r + 3, s : s + 3]
    cells(axes, 13, 15.9, rotated, lambda k, l: YELLOW if meets[k, l] else None)
    cells(axes, 19.5, 13.9, dx)
    box(axes, 19.5 + s, 13.9 + r, 1, 1, BLUE)
    for x, y, words in ((5.5, 22.4, "dy, zeros put in"), (14.5, 19.4, "w rotated"), (23, 21.4, "dx")):
        text(axes, x, y, words)
    terms = spelled(spread[r : r + 3, s : s + 3][meets], rotated[meets])
    text(axes, 18.5, 23, f"dx[{r},{s}] = {terms}      (the rest are zeros)")
    for x, sign in ((11.5, "⋆"), (17.75, "=")):
        text(axes, x, 17.4, sign, fontsize=16)
    return figure


PICTURES = {"one-channel": one_channel, "axes-swapped": axes_swapped, "stride": stride_two}


def main(arguments: Sequence[str]) -> None:
    folder = Path(arguments[0]) if arguments else Path(__file__).parent
    with mpl.rc_context({"svg.hashsalt": "convback", "svg.fonttype": "path", "font.family": "DejaVu Sans"}):
        for name, draw in PICTURES.items():
            draw().savefig(folder / f"{name}.svg", metadata={"Date": None})


if __name__ == "__main__":
    main(sys.argv[1:])
