"""One row for each problem that was tuned, or that is remembered."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tuned:
    """What tuning found for one gradient of one case.

    Attributes
    ----------
    status : str
        "remembered", or "undecided" where nothing could be timed.
    backend, seconds : str and float, or None
        The fastest candidate, and the shortest time of its call.
    before, before_seconds : str and float, or None
        Which one `auto` chose until now; and its time, where it was timed.
    reason : str
        Why candidates were not timed: unavailable, or wrong.
    """

    case: str
    op: str
    dtype: str
    threads: int
    status: str
    backend: str | None = None
    seconds: float | None = None
    before: str | None = None
    before_seconds: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class Remembered:
    """A choice as it stands in the file.

    Attributes
    ----------
    counts : bool
        Whether it holds here: for this processor and this version of convback.
    """

    case: str
    op: str
    dtype: str
    threads: int
    backend: str
    seconds: float
    counts: bool
    processor: str
    version: str
