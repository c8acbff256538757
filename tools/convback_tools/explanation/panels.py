"""Maps of a picture, without drawing them: cells, and the window in which they are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import NamedTuple

from convback.contract import Array
from convback_tools.explanation.rows import text

WHOLE = 10  # rows or columns up to which a map is shown as a whole
MOST = 14  # rows or columns of a window
MARGIN = 1  # around what meets
AROUND = 3  # the entry

PLAIN, PADDING, GAP, ENTRY = "plain", "padding", "gap", "entry"  # GAP is a zero between two entries

Place = tuple[int, int]


class Mark(NamedTuple):
    """A tap (of dw and db an output position) that falls on a place; one that gives no term has no shade."""

    label: str
    shade: float | None


@dataclass(frozen=True)
class Cell:
    """One place of a map: what it is, what is written there, and what falls on it."""

    kind: str
    text: str = ""
    mark: Mark | None = None


@dataclass(frozen=True)
class Panel:
    """A map, or a window of one that is large.

    Attributes
    ----------
    title : str
    rows, columns : range
        What is shown; outside the extent there is padding.
    extent : (int, int)
        Of the map, with the zeros between its entries.
    step : (int, int)
        From one entry to the next.
    cells : dict
        By row and column.
    starts : dict
        Where a window of the kernel begins, with the shade of a tap if that window covers the entry.
    is_cut : bool
        Whether something that meets lies outside.
    """

    title: str
    rows: range
    columns: range
    extent: Place
    step: Place
    cells: Mapping[Place, Cell]
    starts: Mapping[Place, float | None]
    is_cut: bool


@dataclass(frozen=True)
class Plane:
    """A map before it is cut: its entries (None: they are not shown), its padding, and where windows begin."""

    title: str
    extent: Place
    values: Array | None = None
    padding: tuple[Place, Place] = ((0, 0), (0, 0))
    step: Place = (1, 1)
    starts: tuple[range, range] = (range(0), range(0))

    def panel(self, marks: Mapping[Place, Mark]) -> Panel:
        """The window in which all the marks are, or else those that meet, or as many of these as fit."""
        met = [at for at, mark in marks.items() if mark.shade is not None]
        rows, columns = (self._window(axis, [at[axis] for at in marks], [at[axis] for at in met]) for axis in (0, 1))
        return self._panel(rows, columns, marks)

    def panel_around(self, place: Place, value: str, covering: Mapping[Place, float | None]) -> Panel:
        """The window around the entry, which some windows of the kernel cover."""
        rows, columns = (self._around(axis, at) for axis, at in enumerate(place))
        panel = self._panel(rows, columns, {})
        starts = {at: covering.get(at) for at in panel.starts}
        return replace(panel, cells={**panel.cells, place: Cell(ENTRY, value)}, starts=starts)

    def _panel(self, rows: range, columns: range, marks: Mapping[Place, Mark]) -> Panel:
        cells = {at: self._cell(at, marks.get(at)) for at in product(rows, columns)}
        starts = {at: None for at in cells if at[0] in self.starts[0] and at[1] in self.starts[1]}
        return Panel(self.title, rows, columns, self.extent, self.step, cells, starts, not set(marks) <= set(cells))

    def _window(self, axis: int, marks: Sequence[int], met: Sequence[int]) -> range:
        whole = self._whole(axis, marks)
        if len(whole) <= WHOLE:
            return whole
        wishes = [wish or [whole.start] for wish in (marks, met or marks)]
        for wish, margin in product(wishes, (MARGIN, 0)):
            window = range(max(whole.start, min(wish) - margin), min(whole.stop, max(wish) + margin + 1))
            if len(window) <= MOST:
                return window
        return window[:MOST]

    def _around(self, axis: int, at: int) -> range:
        whole = self._whole(axis, [])
        return whole if len(whole) <= WHOLE else range(max(whole.start, at - AROUND), min(whole.stop, at + AROUND + 1))

    def _whole(self, axis: int, marks: Sequence[int]) -> range:
        """The map with its padding, and as far as anything falls beyond."""
        lo, hi = self.padding[axis]
        return range(min([-lo, *marks]), max([self.extent[axis] - 1 + hi, *marks]) + 1)

    def _cell(self, place: Place, mark: Mark | None) -> Cell:
        outside = not all(0 <= at < extent for at, extent in zip(place, self.extent, strict=True))
        between = any(at % step for at, step in zip(place, self.step, strict=True))
        kind = PADDING if outside else GAP if between else PLAIN
        if self.values is None:
            return Cell(kind, "", mark)
        value = 0.0 if outside or between else self.values[place[0] // self.step[0], place[1] // self.step[1]]
        return Cell(kind, short(value), mark)


def short(value: float) -> str:
    """A number that fits into a cell."""
    written = text(float(value))
    return written if len(written) <= 6 else f"{value:.2g}"
