"""What the command shows of its rows: a line for each result, and below it where those that are wrong are wrong."""

from __future__ import annotations

from collections.abc import Sequence

from convback_tools import report
from convback_tools.checking.rows import Row, summary


def presented(rows: Sequence[Row], title: str) -> report.Report:
    """The report of a check."""
    several = len({row.case for row in rows}) > 1
    columns = ["array", "computed in", "tier", "verdict", "wrong", "error/bound", "largest error"]
    return report.Report(
        rows=rows,
        title=f"convback check: {title}",
        columns=[*(["case"] if several else []), *columns],
        cells=[[*([row.case] if several else []), *_cells(row)] for row in rows],
        notes=[*(_told(row, several) for row in rows if row.reason), _conclusion(rows)],
        extra={"summary": summary(rows)},
    )


def _cells(row: Row) -> list[str]:
    return [
        row.array or "-",
        row.computed_in or "-",
        row.tier or "-",
        report.ALARM if row.status == "failed" else row.status,
        "-" if row.wrong is None else f"{row.wrong} of {row.size}",
        report.number(row.error_over_bound),
        report.number(row.max_abs_error),
    ]


def _told(row: Row, several: bool) -> str:
    """Why a row did not pass."""
    subject = " of ".join(filter(None, (row.array, row.case if several or not row.array else "")))
    lines = [f"{row.status.upper() if row.status in ('failed', 'error') else row.status}: {subject}: {row.reason}"]
    if row.worst_index is not None and row.status == "failed":
        lines.append(f"  worst at {row.array}{list(row.worst_index)}: got {row.got!r}, expected {row.expected!r}")
    return "\n".join(lines)


def _conclusion(rows: Sequence[Row]) -> str:
    counts = summary(rows)
    told = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    return f"{told or 'nothing was checked: the file holds none of y, dx, dw and db'}."
