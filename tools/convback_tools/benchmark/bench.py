"""Verifies each contestant on the case at hand, then times those that passed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

import convback
from convback import ConvbackError, Gradients
from convback_tools.benchmark.rows import Row
from convback_tools.benchmark.timing import time_interleaved
from convback_tools.suites import Case
from convback_tools.verification.challenges import Exact, Rounding
from convback_tools.verification.question import Question
from convback_tools.verification.respondent import Fault, Respondent, ask
from convback_tools.verification.tasks import Trial

GRADIENTS = ("dx", "dw", "db")
OPS = ("y", *GRADIENTS, "backward")


@dataclass(frozen=True)
class Settings:
    """What to time, and for how long.

    Attributes
    ----------
    baseline : str or None
        The backend that ratios refer to; None stands for the first that is usable.
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
    patient: bool = False
    seconds: float = 1.0
    rounds: int = 30
    seed: int = 0


def bench(cases: Sequence[Case], backends: Sequence[str], settings: Settings) -> Iterator[Row]:
    """Rows of all cases, dtypes and ops, those of one question together."""
    if settings.baseline is None:
        settings = replace(settings, baseline=next(filter(_usable, backends), None))
    convback.set_num_threads(settings.threads)
    with threadpool_limits(settings.threads), convback.use_accuracy(settings.accuracy):
        for case in cases:
            for dtype in settings.dtypes:
                for op in settings.ops:
                    yield from _question_rows(case, np.dtype(dtype), op, backends, settings)


def _question_rows(case: Case, dtype: Any, op: str, backends: Sequence[str], settings: Settings) -> list[Row]:
    rows, calls = {}, {}
    for name in backends:
        row = Row(case.name, op, name, dtype.name, settings.threads, settings.accuracy, "timed", settings.baseline)
        convback.workspace.reset_high_water()
        status, reason, error = _check(case, dtype, op, name, settings)
        if status == "timed":
            calls[name] = _call(case, dtype, op, name, settings.seed)
            row = replace(row, max_relative_error=error, workspace_bytes=convback.workspace.high_water())
        rows[name] = replace(row, status=status, reason=reason)
    times = time_interleaved(calls, settings.seconds, settings.rounds, settings.seed)
    macs = sum(Question(part, case.geom, dtype, 0).macs for part in _parts(op) if part != "db" or op == "db")
    for name, measured in times.items():
        rows[name] = replace(
            rows[name],
            seconds_min=min(measured),
            seconds_median=median(measured),
            gflops=(1 if op == "db" else 2) * macs / min(measured) / 1e9,
            ratio_to_baseline=min(times[settings.baseline]) / min(measured) if settings.baseline in times else None,
        )
    return list(rows.values())


def _usable(backend: str) -> bool:
    try:
        convback.get_backend(backend)
    except ConvbackError:
        return False
    return True


def _parts(op: str) -> tuple[str, ...]:
    return GRADIENTS if op == "backward" else (op,)


def _check(case: Case, dtype: Any, op: str, backend: str, settings: Settings) -> tuple[str, str, float | None]:
    """Whether the backend may be timed ("timed", or why not), the reason, and its largest relative error."""
    try:
        respondent = Respondent(backend)
    except ConvbackError as error:
        return "unavailable", str(error), None
    worst, reason = 0.0, ""
    for part in _parts(op):
        question = Question(part, case.geom, dtype, settings.seed)
        trial = Trial(respondent)
        try:
            if refusal := respondent.refusal(question, settings.patient):
                return "unsupported", refusal, None
            chosen, sums = respondent.chosen(question), respondent.error_model(question) is None
        except Fault as fault:
            return "wrong", str(fault), None
        rounding = Rounding(question)
        trial.face(rounding)
        largest_error = trial.worst.max_abs_error
        if sums and trial.stands:
            trial.face(Exact(question))
        if not trial.stands:
            return "wrong", trial.reason or trial.worst.fault, None
        reason = f"ran {chosen}" if chosen else ""
        largest = float(np.abs(rounding.expected).max(initial=0))
        worst = max(worst, largest_error / largest if largest else 0.0)
    return "timed", reason, worst


def _call(case: Case, dtype: Any, op: str, backend: str, seed: int) -> Callable[[], object]:
    """A call without arguments that computes the gradient into memory that is there already."""
    if op != "backward":
        question = Question(op, case.geom, dtype, seed)
        operands = question.reals(np.random.default_rng(seed))
        out = np.empty(question.result_shape, dtype)
        return lambda: ask(question, operands, backend, out)
    g = case.geom
    rng = np.random.default_rng(seed)
    dy, x, w = (rng.standard_normal(shape).astype(dtype) for shape in (g.y_shape, g.x_shape, g.w_shape))
    outs = Gradients(np.empty_like(x), np.empty_like(w), np.empty(g.F, dtype))
    return lambda: convback.backward(
        dy, x, w, stride=g.stride, padding=g.padding, dilation=g.dilation, groups=g.groups, backend=backend, out=outs
    )
