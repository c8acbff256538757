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
from convback_tools.inventory import why
from convback_tools.progress import stdout_for_results


@dataclass(frozen=True)
class Row:
    """One installed backend: whether it can be used, where it comes from, and what it says of itself or why not."""

    backend: str
    status: str
    origin: str
    details: str


@click.command("backends", short_help="List the installed backends: usable, or why not.")
@click.option(
    "--why", "words", multiple=True, metavar="WORD",
    help="Instead of that, whom `auto` chooses for this problem, a problem word or the name of a layer (repeatable).",
)  # fmt: skip
@options.output
def command(words: tuple[str, ...], style: str, path: Path | None) -> int:
    """List the installed backends: usable or why not, and where they come from.

    With --why, show for y, dx and dw in both dtypes which backend `auto` passes a problem on to, and how long a call of
    each candidate should take: as `convback tune` measured on this machine, or else as a model predicts.

    \b
    Examples:
      convback backends --format json
      convback backends --why resnet50-conv1 --why g1mb2ic3ih32iw32oc8kh3kw3ph1pw1
    """
    if words:
        cases = options.chosen_cases("", words)
        with stdout_for_results():
            reasons = why.reasons(cases)
        report.write(why.report_of(reasons), style, path)
        return 0
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
