"""The errors of wrong results as a picture. Imported only where one is wanted, as it needs matplotlib."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure

from convback.contract import Array
from convback_tools.diagnosis.findings import Diagnosis

MOST_PANELS = 8  # of the maps of a result
PANEL = 1.7  # inches


def figure(diagnosed: Diagnosis, title: str) -> Figure:
    """A row of maps for each wrong result, one for each channel of its first image, or of its first filter.

    Blue entries are too small, red ones too large, white ones right.
    """
    errors, findings = diagnosed.errors, {finding.array: finding for finding in diagnosed.findings}
    columns = max((len(_maps(error)[:MOST_PANELS]) for error in errors.values()), default=1)
    size = max(6.0, PANEL * columns + 1.2), 0.5 + (PANEL + 0.9) * max(1, len(errors))
    drawn = Figure(figsize=size, layout="constrained")
    drawn.suptitle(title, fontsize=10)
    if not errors:
        drawn.text(0.5, 0.4, "no result of the right shape is wrong", ha="center")
        return drawn
    strips = drawn.subfigures(len(errors), 1, squeeze=False)[:, 0]
    for strip, (op, error) in zip(strips, errors.items(), strict=True):
        _row(strip, op, error, columns, findings[op].id)
    return drawn


def _row(strip: Any, op: str, error: Array, columns: int, mistake: str) -> None:
    maps = _maps(error)
    largest = float(np.abs(error[np.isfinite(error)]).max(initial=0)) or 1.0
    axes = strip.subplots(1, columns, squeeze=False)[0]
    for number, panel in enumerate(axes):
        panel.set_xticks([])
        panel.set_yticks([])
        if number >= len(maps):
            panel.set_axis_off()
            continue
        norm = TwoSlopeNorm(0, -largest, largest)
        image = panel.imshow(maps[number], cmap="RdBu_r", norm=norm, interpolation="nearest")
        if op != "db":
            panel.set_title(f"{'filter' if op == 'y' else 'channel'} {number}", fontsize=8)
    shown = f"; the first {columns} of {len(maps)} maps" if len(maps) > columns else ""
    of = {"dw": " of filter 0", "db": ""}.get(op, " of image 0")
    strip.suptitle(f"errors of {op}{of}: {mistake}{shown}", fontsize=9)
    strip.colorbar(image, ax=list(axes), shrink=0.8).ax.tick_params(labelsize=7)


def _maps(error: Array) -> list[Array]:
    """Of the first image or filter the map of each channel; of three spatial axes the middle plane."""
    if error.ndim == 1:
        return [error.reshape(1, -1)]
    maps = error[0]
    while maps.ndim > 3:
        maps = maps[:, maps.shape[1] // 2]
    return [of_channel.reshape(-1, of_channel.shape[-1]) for of_channel in maps]
