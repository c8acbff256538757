"""Verifies each contestant on the case at hand, then times those that passed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median

import numpy as np
from threadpoolctl import threadpool_limits

import convback
from convback import ConvbackError
from convback_tools.benchmark.contestants import admitted
from convback_tools.benchmark.machine import Machine
from convback_tools.benchmark.problem import Problem
from convback_tools.benchmark.rows import Row
from convback_tools.benchmark.timing import time_interleaved
from convback_tools.suites import Case


@dataclass(frozen=True)
class Settings:
    """What to time, and for how long.

    Attributes
    ----------
    baseline : str or None
        The backend that ratios refer to; None stands for the first that is usable.
    vs : str or None
        The backend that takes part in its best form: the fastest of the variants that it offers.
    seconds : float
        Time for each backend on each gradient of each case.
    rounds : int
        Most measurements of each.
    """

    ops: tuple[str, ...]
    dtypes: tuple[str, ...]
    threads: int
    accuracy: str
    baseline: str | None
    vs: str | None = None
    patient: bool = False
    seconds: float = 1.0
    rounds: int = 30
    seed: int = 0


def bench(cases: Sequence[Case], backends: Sequence[str], settings: Settings, machine: Machine) -> Iterator[Row]:
    """Rows of all cases, dtypes and ops, those of one question together."""
    if settings.baseline is None:
        settings = replace(settings, baseline=next(filter(_usable, backends), None))
    convback.set_num_threads(settings.threads)
    with threadpool_limits(settings.threads), convback.use_accuracy(settings.accuracy):
        for case in cases:
            for dtype in settings.dtypes:
                for op in settings.ops:
                    problem = Problem(op, case.geom, np.dtype(dtype), settings.seed)
                    yield from _rows(problem, case.name, backends, settings, machine)


def _rows(problem: Problem, case: str, backends: Sequence[str], settings: Settings, machine: Machine) -> list[Row]:
    contestants = {
        name: admitted(name, problem, best_form=name == settings.vs, patient=settings.patient) for name in backends
    }
    calls = {(name, form): call for name, entry in contestants.items() for form, call in entry.calls.items()}
    times = time_interleaved(calls, settings.seconds, settings.rounds, settings.seed)
    fastest = {
        name: min(entry.calls, key=lambda form: min(times[name, form]))
        for name, entry in contestants.items()
        if entry.calls
    }
    shortest = {name: min(times[name, form]) for name, form in fastest.items()}
    least, limit = machine.limit(problem) or (None, None)
    rows = []
    for name, entry in contestants.items():
        row = Row(
            case, problem.op, name, problem.dtype.name, settings.threads, settings.accuracy, entry.status,
            settings.baseline, reason=entry.reason,
        )  # fmt: skip
        if name in fastest:
            form, seconds = fastest[name], shortest[name]
            row = replace(
                row,
                seconds_min=seconds,
                seconds_median=median(times[name, form]),
                gflops=problem.flops / seconds / 1e9,
                macs=problem.macs,
                fraction_of_peak=None if least is None else least / seconds,
                limit=limit,
                max_relative_error=entry.errors[form],
                workspace_bytes=entry.workspace_bytes,
                ratio_to_baseline=shortest[settings.baseline] / seconds if settings.baseline in shortest else None,
                reason="; ".join(filter(None, (form, entry.reason))),
            )
        rows.append(row)
    return rows


def _usable(backend: str) -> bool:
    try:
        convback.get_backend(backend)
    except ConvbackError:
        return False
    return True
