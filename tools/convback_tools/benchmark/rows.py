"""One row for each timing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """Times of one backend for one gradient of one case.

    Attributes
    ----------
    op : str
        "y", "dx", "dw", "db", or "backward" for the three gradients in one call.
    status : str
        "timed"; or "unsupported", "unavailable", or "wrong" where verification forbids timing.
    baseline : str or None
        The backend that `ratio_to_baseline` refers to.
    seconds_min, seconds_median : float or None
        Of one call.
    gflops : float or None
        Multiplications and additions, those with padding included, over the shortest time, in 10^9 a second.
    macs : int or None
        Products, those with padding included; of db the terms of its sums.
    fraction_of_peak : float or None
        The time that the limit of the machine allows over the shortest time; None where no backend measures the peak.
    limit : str or None
        What sets that limit: "FMA", the multiplications and additions, or "memory", the bytes of operands and results.
    max_relative_error : float or None
        Largest error on real data over the largest expected value.
    workspace_bytes : int or None
        The most scratch memory taken at once from `convback.workspace`.
    ratio_to_baseline : float or None
        Shortest time of the baseline backend over this one's: above 1 is faster.
    ratio_to_earlier : float or None
        Shortest time in the report of --compare over this one: above 1 is faster now.
    """

    case: str
    op: str
    backend: str
    dtype: str
    threads: int
    accuracy: str
    status: str
    baseline: str | None
    seconds_min: float | None = None
    seconds_median: float | None = None
    gflops: float | None = None
    macs: int | None = None
    fraction_of_peak: float | None = None
    limit: str | None = None
    max_relative_error: float | None = None
    workspace_bytes: int | None = None
    ratio_to_baseline: float | None = None
    ratio_to_earlier: float | None = None
    reason: str = ""
