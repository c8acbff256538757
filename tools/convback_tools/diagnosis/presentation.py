"""A diagnosis as a report: a row for each result, then for each wrong one what happened and what to change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from convback_tools.diagnosis.findings import UNKNOWN, Diagnosis, Finding
from convback_tools.diagnosis.heatmap import terminal_map
from convback_tools.report import Report, number

LEGEND = (
    "FC is a full correlation, summed over the second axis of its kernel; D(dy) is dy with s-1 zeros between its entries; "
    "R(w) is w rotated by 180 degrees; T(w) is w with filters and channels exchanged. Right: dx = FC(D(dy), R(T(w)))."
)
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
        notes=[*_details(diagnosed), *diagnosed.notes],
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
        yield f"  what happened  {finding.what}"
        if finding.formula:
            yield f"  computed       {finding.formula}"
        yield f"  right          {finding.right}"
        yield f"  to change      {finding.fix}"
        yield from _alternatives(finding)
        if finding.array in diagnosed.errors and finding.array != "db":
            yield f"  errors of {finding.array}, the largest over images and channels at each position:"
            yield from (f"    {line}" for line in terminal_map(diagnosed.errors[finding.array]))
        yield ""
    if any("FC(" in finding.formula for finding in diagnosed.findings):
        yield LEGEND


def _alternatives(finding: Finding) -> Iterator[str]:
    label = "nearest" if finding.id == UNKNOWN else "or else"
    for tie in finding.ties:
        apart = f"; case {tie.apart} tells them apart" if tie.apart else ""
        yield f"  {label}        {tie.what} ({tie.id}){apart}"
