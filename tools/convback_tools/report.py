"""Formats rows, and nothing else does: tables for people, JSON, CSV and Markdown for programs and documents."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from convback_tools.environment import environment
from convback_tools.writing import replacing

SCHEMA = 1
FORMATS = ("table", "json", "csv", "md")
PAPER = 160  # columns of a table that is not shown on a terminal
ALARM = "WRONG"  # a cell that ends so is shown in red


@dataclass(frozen=True)
class Report:
    """Results of a command.

    Attributes
    ----------
    rows : sequence of frozen dataclasses
        What `json` and `csv` list, all of one class.
    title, columns, cells : str, list of str, list of rows of str
        What `table` and `md` show.
    notes : list of str
        Lines below the table.
    extra : dict
        Further top-level members of the JSON.
    """

    rows: Sequence[Any]
    title: str
    columns: Sequence[str]
    cells: Sequence[Sequence[str]]
    notes: Sequence[str] = ()
    extra: dict[str, Any] = field(default_factory=dict)


def write(report: Report, style: str, path: Path | None) -> None:
    """Print a report on stdout, or write it to a file."""
    if path is None and style == "table":
        console = Console(width=None if sys.stdout.isatty() else PAPER, highlight=False)
        _printed(lambda: _print_table(report, console))
    else:
        write_text(_text(report, style), path)


def write_text(text: str, path: Path | None) -> None:
    """Print a text on stdout, or write it to a file."""
    if path is None:
        _printed(lambda: sys.stdout.write(text))
        return
    with replacing(path) as file:
        file.write(text.encode())


def _printed(show: Callable[[], object]) -> None:
    try:
        show()
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as `head`, has gone: what it wanted, it has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _text(report: Report, style: str) -> str:
    if style == "json":
        return json.dumps(_document(report), indent=1, allow_nan=False) + "\n"
    if style == "csv":
        return _csv(report)
    if style == "md":
        return _markdown(report)
    buffer = io.StringIO()
    _print_table(report, Console(file=buffer, width=PAPER, no_color=True))
    return buffer.getvalue()


def _document(report: Report) -> dict[str, Any]:
    rows = [{name: _json_value(value) for name, value in asdict(row).items()} for row in report.rows]
    return {"schema": SCHEMA, "environment": environment(), **report.extra, "rows": rows}


def _json_value(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _csv(report: Report) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    if report.rows:
        writer.writerow([column.name for column in fields(report.rows[0])])
    for row in report.rows:
        writer.writerow(["" if value is None else value for value in asdict(row).values()])
    return buffer.getvalue()


def _markdown(report: Report) -> str:
    lines = [report.columns, ["---"] * len(report.columns), *report.cells]
    table = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
    return "\n\n".join([f"**{report.title}**", table, *report.notes]) + "\n"


def _print_table(report: Report, console: Console) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for position, column in enumerate(report.columns):
        numeric = any(cells[position][:1].isdigit() for cells in report.cells)
        table.add_column(Text(column), justify="right" if numeric else "left", overflow="fold")
    for cells in report.cells:
        table.add_row(*(Text(cell, style="bold red" if cell.endswith(ALARM) else "") for cell in cells))
    console.print(report.title, markup=False, style="bold", soft_wrap=True)
    console.print(table)
    for note in report.notes:
        console.print(note, markup=False, soft_wrap=True)


def number(value: float | None, digits: int = 3) -> str:
    """A number for people, or a dash where there is none."""
    if value is None:
        return "-"
    return f"{value:.{digits}g}"


def duration(seconds: float | None) -> str:
    """A time for people, with its unit."""
    if seconds is None:
        return "-"
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} us"
