"""Whom `auto` passes a problem on to, and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

import convback
from convback_tools import report
from convback_tools.suites import Case
from convback_tools.tuning.tune import OPS
from convback_tools.verification.tasks import DTYPES

TUNED, PREDICTED = "tuned on this machine", "predicted"


@dataclass(frozen=True)
class Reason:
    """One candidate for one gradient of one problem.

    Attributes
    ----------
    verdict : str
        "chosen", "passed over", or "out".
    seconds : float or None
        Of one call; None where nobody can tell.
    basis : str or None
        Where that comes from: "tuned on this machine", or "predicted".
    reason : str
        Why the candidate is out.
    """

    case: str
    op: str
    dtype: str
    threads: int
    backend: str
    verdict: str
    seconds: float | None
    basis: str | None
    reason: str


def reasons(cases: Iterable[Case]) -> list[Reason]:
    """Rows of all candidates, those of one gradient together: the chosen one, those passed over, those that are out."""
    auto: Any = convback.get_backend("auto")
    threads = convback.get_num_threads()
    rows = []
    for case, op, dtype in product(cases, OPS, DTYPES):
        found = auto.candidates(op, case.geom, np.dtype(dtype))
        for place, candidate in enumerate(sorted(found, key=lambda candidate: candidate.refusal is not None)):
            verdict = "out" if candidate.refusal is not None else "passed over" if place else "chosen"
            basis = None if candidate.seconds is None else TUNED if candidate.measured else PREDICTED
            rows.append(
                Reason(
                    case.name, op, dtype, threads, candidate.backend, verdict, candidate.seconds, basis,
                    candidate.refusal or "",
                )
            )  # fmt: skip
    return rows


def report_of(rows: list[Reason]) -> report.Report:
    """A line for each gradient; why candidates are out stands below."""
    lines: dict[tuple[str, str, str], list[Reason]] = {}
    for row in rows:
        lines.setdefault((row.case, row.op, row.dtype), []).append(row)
    return report.Report(
        rows=rows,
        title=f"convback backends: what auto chooses with {_threads(convback.get_num_threads())}",
        columns=["problem", "op", "dtype", "chosen", "because", "time", "others"],
        cells=[[*key, *_cells(candidates)] for key, candidates in lines.items()],
        notes=list(
            dict.fromkeys(f"out: {row.backend} {row.case}: {row.reason}" for row in rows if row.verdict == "out")
        ),
    )


def _cells(candidates: list[Reason]) -> list[str]:
    chosen = candidates[0]
    if chosen.verdict == "out":
        return ["-", "all are out", "-", "-"]
    others = ", ".join(_told(row, chosen) for row in candidates if row.verdict == "passed over")
    return [chosen.backend, chosen.basis or "it comes first", report.duration(chosen.seconds), others or "-"]


def _told(row: Reason, chosen: Reason) -> str:
    if row.basis is None:
        return row.backend
    differs = f" ({row.basis.partition(' ')[0]})" if row.basis != chosen.basis else ""
    return f"{row.backend} {report.duration(row.seconds)}{differs}"


def _threads(number: int) -> str:
    return "1 thread" if number == 1 else f"{number} threads"
