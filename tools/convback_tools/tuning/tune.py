"""Times the candidates of `auto`, those that pass verification, and has their times remembered."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product

import numpy as np

import convback
from convback import choices
from convback.contract import Candidate
from convback_tools import suites
from convback_tools.benchmark.bench import Settings, bench
from convback_tools.benchmark.machine import Machine
from convback_tools.suites import Case
from convback_tools.tuning.rows import Remembered, Tuned

OPS = ("y", "dx", "dw")

# A candidate that should take so many times as long as another one is not timed: predictions are off by far less.
HOPELESS = 10


def tune(cases: Sequence[Case], settings: Settings) -> Iterator[Tuned]:
    """Rows of all cases, dtypes and ops, each when it has been remembered.

    Raises
    ------
    CacheError
        If nothing can be remembered; this is found out before anything is timed.
    """
    choices.check()
    convback.set_num_threads(settings.threads)
    for case, dtype, op in product(cases, settings.dtypes, settings.ops):
        yield _tuned(case, dtype, op, settings)


def _tuned(case: Case, dtype: str, op: str, settings: Settings) -> Tuned:
    row = Tuned(case.name, op, dtype, settings.threads, "undecided")
    if case.geom.is_empty:
        return replace(row, reason="it has no products, so no backend computes it")
    candidates = convback.get_backend("auto").candidates(op, case.geom, np.dtype(dtype))
    names = worth_timing(candidates)
    unmeasured = Machine(settings.threads, fma={}, copy=0)  # no limit is asked for
    found = list(bench([case], names, replace(settings, ops=(op,), dtypes=(dtype,)), unmeasured))
    seconds = {timed.backend: timed.seconds_min for timed in found if timed.seconds_min is not None}
    reason = "; ".join(f"{r.status}: {r.backend}: {r.reason}" for r in found if r.status != "timed")
    before = next((candidate.backend for candidate in candidates if candidate.refusal is None), None)
    if not seconds:
        return replace(row, before=before, reason=reason)
    choices.remember(choices.Problem(op, case.geom, dtype, settings.threads), seconds)
    fastest = min(seconds, key=seconds.__getitem__)
    return replace(
        row, status="remembered", backend=fastest, seconds=seconds[fastest], before=before,
        before_seconds=seconds.get(before or ""), reason=reason,
    )  # fmt: skip


def worth_timing(candidates: Sequence[Candidate]) -> list[str]:
    """Those that are not out, without those that are slow beyond doubt."""
    usable = [candidate for candidate in candidates if candidate.refusal is None]
    least = min((c.seconds for c in usable if c.seconds is not None), default=math.inf)
    return [c.backend for c in usable if c.seconds is None or c.seconds <= HOPELESS * least]


def remembered() -> list[Remembered]:
    """A row for each choice in the file."""
    names = {case.geom: case.name for case in suites.suite("layers")}
    rows = []
    for choice in choices.remembered():
        problem, (backend, seconds) = choice.problem, next(iter(choice.seconds.items()))
        name = names.get(problem.geom) or Case("", problem.geom).word
        rows.append(
            Remembered(
                name, problem.op, problem.dtype, problem.threads, backend, seconds, choice.counts, choice.processor,
                choice.version,
            )
        )  # fmt: skip
    return rows
