"""What the command shows of its rows: a line for each backend, and below it what one needs to know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from convback.contract import OPS
from convback_tools import report
from convback_tools.verification.refusals import CORE
from convback_tools.verification.rows import Row, summary

BOUNDED = ("rounding", "gauge")


def presented(found: Sequence[Row], title: str) -> report.Report:
    """The report of a run."""
    names = sorted({row.backend for row in found} - {CORE})
    return report.Report(
        rows=found,
        title=f"convback verify: {title}",
        columns=["backend", *OPS, "not run", "error/bound"],
        cells=[_cells(name, [row for row in found if row.backend == name]) for name in names],
        notes=[*_findings(found), *_reasons(found), *_gauges(found), *_refused(found), _conclusion(found)],
        extra={"summary": summary(found)},
    )


def _cells(name: str, of_backend: list[Row]) -> list[str]:
    cells = [name]
    for op in OPS:
        decided = [row for row in of_backend if row.op == op and row.status in ("passed", "failed", "error")]
        bad = sum(row.status != "passed" for row in decided)
        cells.append(f"{bad} of {len(decided)} {report.ALARM}" if bad else f"{len(decided)} ok" if decided else "-")
    undecided = sum(row.status in ("unsupported", "inconclusive", "unavailable") for row in of_backend)
    ratios = [row.error_over_bound for row in of_backend if row.tier in BOUNDED and row.error_over_bound is not None]
    return [*cells, str(undecided or "-"), report.number(max(ratios, default=None))]


def told(row: Row) -> str:
    """A failed or error row in full, on several lines."""
    subject = " ".join(filter(None, (row.backend, row.op, row.dtype)))
    lines = [f"{row.status.upper()}: {subject} ({row.tier}), case {row.case}: {row.reason}"]
    if row.worst_index is not None:
        lines.append(f"  worst at {row.op}{list(row.worst_index)}: got {row.got!r}, expected {row.expected!r}")
    if row.repro:
        lines.append(f"  repeat with: {row.repro}")
    return "\n".join(lines)


def _findings(found: Sequence[Row]) -> list[str]:
    """The first failed or error row of each backend and gradient, in full, and how many more there are."""
    lines = []
    for rows in _grouped(found, ("failed", "error"), lambda row: (row.backend, row.op)):
        lines.append(told(rows[0]))
        if len(rows) > 1:
            of = " ".join(filter(None, (rows[0].backend, rows[0].op)))
            lines.append(f"  {of} has {len(rows) - 1} more such rows; --format json lists them")
    return lines


def _reasons(found: Sequence[Row]) -> list[str]:
    """Why rows were not decided: the first reason of each backend and status."""
    lines = []
    for rows in _grouped(found, ("unavailable", "unsupported", "inconclusive"), lambda row: (row.backend, row.status)):
        row = rows[0]
        more = f" (and {len(rows) - 1} more; --format json has the reasons)" if len(rows) > 1 else ""
        subject = f"{row.backend} {row.op} {row.case}: " if row.case else ""
        lines.append(f"{row.status}: {subject}{row.reason}{more}")
    return lines


def _gauges(found: Sequence[Row]) -> list[str]:
    """How wide the bounds are that backends declare for themselves."""
    lines = []
    for rows in _grouped(found, ("passed", "failed"), lambda row: (row.backend,) if row.tier == "gauge" else None):
        widest = max(row.bound_over_gamma or 0.0 for row in rows)
        name = rows[0].backend
        lines.append(f"{name} is held to its own error bound, which is up to {widest:.3g} times that of a sum")
    return lines


def _refused(found: Sequence[Row]) -> list[str]:
    statuses = Counter(row.status for row in found if row.tier == "refusal")
    total = sum(statuses.values())
    return [f"{statuses['passed']} of {total} layers that must be refused are refused"] if total else []


def _grouped(
    found: Sequence[Row], statuses: Sequence[str], key: Callable[[Row], tuple[str | None, ...] | None]
) -> list[list[Row]]:
    """Rows of these statuses by key, without those whose key is None."""
    groups: dict[tuple[str | None, ...], list[Row]] = {}
    for row in found:
        if row.status in statuses and (group := key(row)) is not None:
            groups.setdefault(group, []).append(row)
    return list(groups.values())


def _conclusion(found: Sequence[Row]) -> str:
    statuses, tiers = summary(found), Counter(row.tier for row in found if row.status == "passed")
    of_tiers = {"passed": f" ({', '.join(f'{count} {tier}' for tier, count in tiers.items())})"}
    parts = [f"{count} {status}{of_tiers.get(status, '')}" for status, count in statuses.items() if count]
    counts = ", ".join(parts) or "nothing was verified"
    escapes = [row.escape_probability for row in found if row.status == "passed" and row.escape_probability is not None]
    if not escapes or statuses["failed"] or statuses["error"]:
        return f"{counts}."
    return f"{counts}.\nA wrong bilinear form passes an exact verdict with probability {max(escapes):.1g} at most."
