"""A picture of a run. Imported only where one is wanted, as it needs matplotlib."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any, TypeAlias

from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, NullFormatter

from convback_tools.benchmark.machine import Machine
from convback_tools.benchmark.rows import Row
from convback_tools.benchmark.summary import vs_baseline

Axes: TypeAlias = Any  # so that types can be checked without matplotlib
Series: TypeAlias = tuple[str, str, str]

# Okabe and Ito's, which people with any colour vision can tell apart.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000", "#F0E442")
BAR = 0.115  # inches
LABEL = 60  # characters


def figure(rows: Sequence[Row], machine: Machine, title: str, series_of_cases: Sequence[Sequence[str]]) -> Figure:
    """Draw a run.

    On the left the speed-up of each case against the baseline, or GFLOP/s where nothing else was timed; on the right
    the time of each row against its number of products.

    Parameters
    ----------
    rows : sequence of Row
        At least one of them timed.
    machine : Machine
    title : str
    series_of_cases : sequence of sequences of str
        Cases that lines join, as one grows out of the other.
    """
    timed = [row for row in rows if row.status == "timed"]
    contestants = [row for row in timed if vs_baseline(row) is not None] or timed
    series = list(dict.fromkeys((row.backend, row.op, row.dtype) for row in contestants))
    colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(series)}
    cases = list(dict.fromkeys(row.case for row in contestants))
    height = max(4.5, 1.6 + len(cases) * (len(series) + 1) * BAR)
    drawn = Figure(figsize=(13, height), layout="constrained")
    drawn.suptitle(title, fontsize=11)
    left, right = drawn.subplots(1, 2, width_ratios=(1.25, 1))
    _bars(left, contestants, cases, colours)
    _growth(right, timed, machine, colours, series_of_cases)
    # A tall figure keeps its second panel in proportion.
    right.set_box_aspect(min(1.0, height / 7))
    right.set_anchor("N")
    return drawn


def _bars(axes: Axes, rows: Sequence[Row], cases: Sequence[str], colours: dict[Series, str]) -> None:
    ratios = [vs_baseline(row) for row in rows]
    compared = None not in ratios
    thickness = 1 / (len(colours) + 1)
    values = [ratio if compared else row.gflops for row, ratio in zip(rows, ratios, strict=True)]
    start = 1.0 if compared else min(map(_positive, values)) / 2
    for position, (name, colour) in enumerate(colours.items()):
        own = [(row, _positive(value)) for row, value in zip(rows, values, strict=True) if _series(row) == name]
        at = [cases.index(row.case) + (position - (len(colours) - 1) / 2) * thickness for row, _ in own]
        axes.barh(
            at, [value - start for _, value in own], thickness, left=start, color=colour, label=_label(name, colours)
        )
        for y, (_, value) in zip(at, own, strict=True):
            below = value < start
            axes.annotate(
                f"{value:.3g}", (value, y), (-2 if below else 2, 0), textcoords="offset points", va="center_baseline",
                ha="right" if below else "left", fontsize=5.5, color="0.3",
            )  # fmt: skip
    axes.set_xscale("log")
    axes.margins(x=0.08, y=0)
    axes.set_ylim(len(cases) - 0.4, -0.6)
    axes.set_yticks(range(len(cases)), [textwrap.fill(case, LABEL) for case in cases], fontsize=7)
    for band in range(1, len(cases), 2):
        axes.axhspan(band - 0.5, band + 0.5, color="0.965", zorder=0, linewidth=0)
    axes.tick_params(axis="y", length=0)
    if compared:
        axes.axvline(1, color="black", linewidth=0.8)
        axes.set_xlabel(f"speed-up against {rows[0].baseline}: above 1 is faster")
    else:
        axes.set_xlabel("GFLOP/s")
    axes.xaxis.set_major_locator(_locator(axes.xaxis))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="x", color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=4, fontsize=8, frameon=False)


def _growth(
    axes: Axes,
    rows: Sequence[Row],
    machine: Machine,
    colours: dict[Series, str],
    series_of_cases: Sequence[Sequence[str]],
) -> None:
    by_series: dict[Series, dict[str, tuple[int, float]]] = {}
    for row in rows:
        if row.macs and row.seconds_min:
            by_series.setdefault(_series(row), {})[row.case] = row.macs, row.seconds_min
    baselines = iter(("o", "s", "^", "D", "v"))
    for name, points in by_series.items():
        colour = colours.get(name)
        style: dict[str, Any] = {"color": colour or "0.55", "markersize": 4, "linewidth": 1}
        style |= {"marker": "o"} if colour else {"marker": next(baselines, "x"), "markerfacecolor": "none"}
        axes.plot(*zip(*points.values(), strict=True), linestyle="", label=" ".join(name), **style)
        for joined in series_of_cases:
            line = sorted(points[case] for case in joined if case in points)
            axes.plot(*zip(*line, strict=True), color=style["color"], linewidth=1) if line else None
    axes.set_xscale("log")
    axes.set_yscale("log")
    for i, (dtype, flops) in enumerate(machine.fma.items()):
        limits = axes.get_xlim()
        seconds = [2 * macs / flops for macs in limits]
        axes.plot(limits, seconds, color="0.3", linewidth=0.8, linestyle=("--", ":")[i % 2], label=f"FMA limit {dtype}")
        axes.set_xlim(limits)
    for axis, unit in ((axes.xaxis, ""), (axes.yaxis, "s")):
        axis.set_major_locator(_locator(axis))
        axis.set_major_formatter(EngFormatter(unit))
        axis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("products")
    axes.set_ylabel("shortest time of a call")
    axes.tick_params(labelsize=8)
    axes.grid(color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="best", fontsize=7, frameon=False)


def _locator(axis: Any) -> LogLocator:
    """Where numbers stand: at powers of ten, and where there is room at 2 and 5 times these."""
    low, high = sorted(axis.get_view_interval())
    return LogLocator(subs=(1, 2, 5) if high / low < 300 else (1,))


def _series(row: Row) -> Series:
    return row.backend, row.op, row.dtype


def _label(name: Series, colours: dict[Series, str]) -> str:
    """Without the backend, where there is only one."""
    return " ".join(name if len({backend for backend, _, _ in colours}) > 1 else name[1:])


def _positive(value: float | None) -> float:
    return max(value or 0.0, 1e-9)
