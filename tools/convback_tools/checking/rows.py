"""One row for each verdict on what a user computed, and what a set of rows amounts to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from convback_tools.verification.findings import Finding

STATUSES = ("passed", "failed", "unsupported", "inconclusive", "error")


@dataclass(frozen=True)
class Row:
    """A verdict on one array of a file, or of a program for one case.

    Attributes
    ----------
    case : str
        The file, or the case that the program was run on.
    array : str or None
        y, dx, dw or db; None where the program gave none.
    computed_in : str or None
        The dtype that its numbers are held to have been computed in.
    tier : str or None
        `exact`, `rounding`, or with the user's own forward pass `linear` and `adjoint`.
    status : str
        One of `STATUSES`.
    error_over_bound : float or None
        Largest ratio of an element's error to the largest that is allowed; infinite where none is allowed.
    max_abs_error : float or None
    wrong, size : int or None
        How many elements are wrong, of how many.
    worst_index : tuple of int or None
        Where error over bound is largest, with the values `got` and `expected` there.
    reason : str
        Why the status is not "passed".
    """

    case: str
    array: str | None
    computed_in: str | None
    tier: str | None
    status: str
    error_over_bound: float | None = None
    max_abs_error: float | None = None
    wrong: int | None = None
    size: int | None = None
    worst_index: tuple[int, ...] | None = None
    got: float | None = None
    expected: float | None = None
    reason: str = ""


def with_evidence(row: Row, found: Finding) -> Row:
    """The row, with what a comparison has found."""
    names = ("error_over_bound", "max_abs_error", "wrong", "worst_index", "got", "expected")
    evidence: dict[str, Any] = {name: getattr(found, name) for name in names}
    return replace(row, **evidence)


def summary(rows: Iterable[Row]) -> dict[str, int]:
    """How many rows there are of each status."""
    counts = dict.fromkeys(STATUSES, 0)
    for row in rows:
        counts[row.status] += 1
    return counts


def exit_code(rows: Iterable[Row]) -> int:
    """1 for a failed or error row, 4 if nothing was decided, else 0."""
    counts = summary(rows)
    if counts["failed"] or counts["error"]:
        return 1
    return 0 if counts["passed"] else 4
