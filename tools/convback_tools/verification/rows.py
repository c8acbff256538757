"""One row for each verdict, and what a set of rows amounts to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

STATUSES = ("passed", "failed", "unsupported", "unavailable", "inconclusive", "error")


@dataclass(frozen=True)
class Row:
    """A verdict on one backend for one gradient of one case in one dtype, by one tier.

    Attributes
    ----------
    case, op, backend, dtype, tier : str or None
        Case and the rest are None where a backend could not be loaded at all.
    status : str
        One of `STATUSES`.
    error_over_bound : float or None
        Largest ratio of an element's error to the largest that is allowed; infinite where none is allowed.
    bound_over_gamma : float or None
        Of the gauge tier: largest ratio of the bound that the backend declares to that of a sum of products.
    max_abs_error : float or None
    escape_probability : float or None
        Of the exact and adjoint tiers: how probable it is at most that a wrong bilinear form passes.
    terms : int or None
        K, the number of products in the longest sum.
    worst_index : tuple of int or None
        Where error over bound is largest, with the values `got` and `expected` there.
    reason : str
        Why the status is not "passed"; for a backend that passes work on, which one did it.
    repro : str
        A command line that repeats this verdict.
    """

    case: str | None
    op: str | None
    backend: str
    dtype: str | None
    tier: str | None
    status: str
    error_over_bound: float | None = None
    max_abs_error: float | None = None
    escape_probability: float | None = None
    terms: int | None = None
    worst_index: tuple[int, ...] | None = None
    got: float | None = None
    expected: float | None = None
    reason: str = ""
    repro: str = ""
    bound_over_gamma: float | None = None


def unavailable(backend: str, reason: str) -> Row:
    """The only row of a backend that could not be loaded."""
    return Row(None, None, backend, None, None, "unavailable", reason=reason)


def summary(rows: Iterable[Row]) -> dict[str, int]:
    """How many rows there are of each status."""
    counts = dict.fromkeys(STATUSES, 0)
    for row in rows:
        counts[row.status] += 1
    return counts


def exit_code(rows: list[Row], named: Iterable[str]) -> int:
    """1 for a failed or error row, 3 where a backend that was named ran nothing, 4 if nothing was decided, else 0."""
    counts = summary(rows)
    if counts["failed"] or counts["error"]:
        return 1
    ran = {row.backend for row in rows if row.status in ("passed", "inconclusive")}
    if not set(named) <= ran:
        return 3
    return 0 if counts["passed"] else 4
