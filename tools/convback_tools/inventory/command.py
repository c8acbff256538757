"""`convback backends`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

import convback
from convback import ConvbackError
from convback.registry import origin
from convback_tools import options, report
from convback_tools.progress import stdout_for_results


@dataclass(frozen=True)
class Row:
    """One installed backend: whether it can be used, where it comes from, and what it says of itself or why not."""

    backend: str
    status: str
    origin: str
    details: str


@click.command("backends", short_help="List the installed backends: usable, or why not.")
@options.output
def command(style: str, path: Path | None) -> int:
    """List the installed backends: usable or why not, and where they come from.

    \b
    Example:
      convback backends --format json
    """
    with stdout_for_results():  # what a backend prints when it is loaded is no result
        rows = [_row(name) for name in convback.backends()]
    report.write(
        report.Report(
            rows=rows,
            title=f"convback backends: {len(rows)} installed, {convback.get_num_threads()} threads",
            columns=["backend", "status", "from", "details"],
            cells=[
                [row.backend, row.status, row.origin, row.details if row.status == "usable" else "-"] for row in rows
            ],
            notes=[row.details for row in rows if row.status != "usable"],
        ),
        style,
        path,
    )
    return 0


def _row(name: str) -> Row:
    try:
        convback.get_backend(name)
        status = "usable"
    except ConvbackError:
        status = "unavailable"
    return Row(name, status, origin(name), details(name))


def details(name: str) -> str:
    """What a backend says of itself, or why it cannot be used."""
    try:
        backend: Any = convback.get_backend(name)
    except ConvbackError as error:
        return str(error)
    facts = backend.info() if hasattr(backend, "info") else {}
    return ", ".join(f"{key} {value}" for key, value in facts.items()) or "-"
