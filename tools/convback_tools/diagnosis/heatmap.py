"""A map of where the errors of a result stand: for each position the largest one, over images and channels."""

from __future__ import annotations

import numpy as np

from convback.contract import Array

SHADES = " ░▒▓█"  # from right to the largest error
MOST_ROWS, MOST_COLUMNS = 24, 72  # characters


def error_map(error: Array) -> Array:
    """The largest absolute error at each row and column, NaN as infinity; of db and in one dimension a single row."""
    size = np.abs(error)
    size = np.where(np.isnan(size), np.inf, size)
    while size.ndim > 2 and size.ndim > min(error.ndim, 4) - 2:
        size = size.max(axis=0)
    return size.reshape(-1, size.shape[-1]) if size.ndim else size.reshape(1, 1)


def terminal_map(error: Array) -> list[str]:
    """The map in characters, in a frame; blocks of positions where it is large."""
    cells = _blocks(_blocks(error_map(error), 0, MOST_ROWS), 1, MOST_COLUMNS)
    largest = float(cells[np.isfinite(cells)].max(initial=0))
    shade = np.full(cells.shape, len(SHADES) - 1)
    if largest > 0:
        finite = np.where(np.isfinite(cells), cells, largest)
        shade = np.ceil(finite / largest * (len(SHADES) - 1)).astype(int)
    edge = "─" * (2 * cells.shape[1])
    lines = ["".join(SHADES[s] * 2 for s in row) for row in shade]  # a character is about twice as high as wide
    return [f"┌{edge}┐", *(f"│{line}│" for line in lines), f"└{edge}┘"]


def _blocks(cells: Array, axis: int, most: int) -> Array:
    """The largest of each block of neighbours, so that at most so many are left."""
    step = -(-cells.shape[axis] // most)
    if step <= 1:
        return cells
    largest: Array = np.maximum.reduceat(cells, np.arange(0, cells.shape[axis], step), axis=axis)
    return largest
