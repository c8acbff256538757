"""What the ratios of a whole run come to: one line for each gradient, dtype and backend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import geometric_mean

from convback_tools.benchmark.rows import Row


@dataclass(frozen=True)
class Summary:
    """Of the ratios of one backend for one gradient in one dtype, over all cases where there is one.

    Attributes
    ----------
    cases : int
    geometric_mean, smallest : float
    smallest_case : str
    below_1 : int
        In how many cases the backend is the slower one.
    """

    op: str
    dtype: str
    backend: str
    cases: int
    geometric_mean: float
    smallest: float
    smallest_case: str
    below_1: int

    def __str__(self) -> str:
        return (
            f"{self.backend} {self.op} {self.dtype}: geometric mean {self.geometric_mean:.3g} of "
            f"{self.cases} case{'s' * (self.cases > 1)}, smallest {self.smallest:.3g} ({self.smallest_case}), "
            f"{self.below_1} below 1"
        )


def summaries(rows: Sequence[Row], ratio: Callable[[Row], float | None]) -> list[Summary]:
    """Those of all gradients, dtypes and backends that have such a ratio."""
    found: dict[tuple[str, str, str], list[tuple[float, str]]] = {}
    for row in rows:
        if (value := ratio(row)) is not None:
            found.setdefault((row.op, row.dtype, row.backend), []).append((value, row.case))
    return [
        Summary(
            *group, len(ratios), geometric_mean(value for value, _ in ratios), *min(ratios),
            sum(value < 1 for value, _ in ratios),
        )
        for group, ratios in found.items()
    ]  # fmt: skip


def vs_baseline(row: Row) -> float | None:
    """The ratio of a row to the baseline, None for the baseline itself."""
    return None if row.backend == row.baseline else row.ratio_to_baseline


def vs_earlier(row: Row) -> float | None:
    """The ratio of an earlier time of the same to a row's."""
    return row.ratio_to_earlier
