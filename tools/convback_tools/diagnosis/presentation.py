"""A diagnosis as a report: a row for each result, then for each wrong one what happened and what to change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from textwrap import wrap

from convback_tools.diagnosis.findings import UNKNOWN, Diagnosis, Finding
from convback_tools.diagnosis.heatmap import terminal_map
from convback_tools.report import Report, number

LEGEND = (
    "FC is a full correlation, summed over the second axis of its kernel; D(dy) is dy with s-1 zeros between its "
    "entries; R(w) is w rotated by 180 degrees; T(w) is w with filters and channels exchanged. "
    "Right: dx = FC(D(dy), R(T(w)))."
)
WIDTH = 110
VERDICTS = {"passed": "right", "failed": "WRONG", "inconclusive": "undecided"}


@dataclass(frozen=True)
class Row:
    """What became of one result.

    Attributes
    ----------
    array, verdict : str
    id, title : str
        Of the mistake; empty where there is none.
    scale, residual : float or None
    place : str
        Where wrong entries stand.
    """

    array: str
    verdict: str
    id: str = ""
    title: str = ""
    scale: float | None = None
    residual: float | None = None
    place: str = ""


def presented(diagnosed: Diagnosis, title: str) -> Report:
    """The report of a diagnosis."""
    found = {finding.array: finding for finding in diagnosed.findings}
    rows = [_row(str(verdict.array), verdict.status, found.get(str(verdict.array))) for verdict in diagnosed.verdicts]
    return Report(
        rows=rows,
        title=f"convback diagnose: {title}",
        columns=["array", "verdict", "mistake", "factor", "unexplained", "where"],
        cells=[
            [
                row.array,
                row.verdict,
                row.id or "-",
                number(row.scale),
                "-" if row.residual is None else f"{row.residual:.1%}",
                row.place or "-",
            ]
            for row in rows
        ],
        notes=[*_details(diagnosed), *(line for note in diagnosed.notes for line in wrap(note, WIDTH))],
        extra={"findings": [asdict(finding) for finding in diagnosed.findings], "notes": list(diagnosed.notes)},
    )


def _row(array: str, status: str, finding: Finding | None) -> Row:
    if finding is None:
        return Row(array, VERDICTS.get(status, status))
    return Row(
        array, VERDICTS[status], finding.id, finding.title, finding.scale, finding.residual, finding.place
    )  # fmt: skip


def _details(diagnosed: Diagnosis) -> Iterator[str]:
    for finding in diagnosed.findings:
        yield f"{finding.array}: {finding.title} ({finding.id})"
        yield from _labelled("what happened", finding.what)
        if finding.formula:
            yield from _labelled("computed", finding.formula)
        yield from _labelled("right", finding.right)
        yield from _labelled("to change", finding.fix)
        for tie in finding.ties:
            apart = f"; case {tie.apart} tells them apart" if tie.apart else ""
            yield from _labelled("nearest" if finding.id == UNKNOWN else "or else", f"{tie.what} ({tie.id}){apart}")
        if finding.array in diagnosed.errors and finding.array != "db":
            yield f"  errors of {finding.array}, the largest over images and channels at each position:"
            yield from (f"    {line}" for line in terminal_map(diagnosed.errors[finding.array]))
        yield ""
    if any("FC(" in finding.formula for finding in diagnosed.findings):
        yield from wrap(LEGEND, WIDTH)


def _labelled(label: str, text: str) -> list[str]:
    return wrap(text, WIDTH, initial_indent=f"  {label:13}  ", subsequent_indent=" " * 17, break_long_words=False)
