"""Asks every backend every question and gives a row for each answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import convback
from convback import ConvbackError, UnsupportedProblem
from convback.contract import OPS, Array
from convback_tools.suites import Case
from convback_tools.verification import challenges
from convback_tools.verification.challenges import Challenge, Question
from convback_tools.verification.rows import Row

DTYPES = ("float32", "float64")
TIERS = ("exact", "rounding")


@dataclass(frozen=True)
class Settings:
    """What to verify, and how far to go.

    Attributes
    ----------
    named : tuple of str
        Backends that were asked for by name: their `PRACTICAL_MACS` does not matter.
    max_macs, max_memory : int
        Products and bytes that a question may take; a question beyond them is inconclusive.
    """

    ops: tuple[str, ...] = OPS
    dtypes: tuple[str, ...] = DTYPES
    tiers: tuple[str, ...] = TIERS
    seed: int = 0
    named: tuple[str, ...] = ()
    max_macs: int = 10**11
    max_memory: int = 4 * 2**30


def verify(cases: Sequence[Case], backends: Sequence[str], settings: Settings) -> Iterator[Row]:
    """Rows of all cases, ops, dtypes and tiers for each backend, the backends of one question after each other."""
    usable = []
    for name in backends:
        try:
            convback.get_backend(name)
            usable.append(name)
        except ConvbackError as error:
            yield Row(None, None, name, None, None, "unavailable", reason=str(error))
    for case in cases:
        for dtype in settings.dtypes:
            for op in settings.ops:
                question = Question(op, case.geom, np.dtype(dtype), settings.seed)
                for tier in settings.tiers:
                    yield from _verdicts(case, question, tier, usable, settings)


@dataclass
class Trial:
    """One backend on its way through the challenges of one question."""

    backend: str
    status: str = "passed"
    reason: str = ""
    evidence: dict[str, Any] = field(default_factory=lambda: {"error_over_bound": 0.0, "max_abs_error": 0.0})

    def settle(self, status: str, reason: str) -> None:
        """End the trial without a verdict on the numbers."""
        self.status, self.reason, self.evidence = status, reason, {}


def _verdicts(case: Case, question: Question, tier: str, backends: list[str], settings: Settings) -> Iterator[Row]:
    trials = [Trial(name) for name in backends if _held_to(name, tier)]
    for trial in trials:
        refuse(trial, question, settings.named)
    escape: float | None = None
    if reason := _out_of_reach(question, tier, settings):
        for trial in trials:
            if trial.status == "passed":
                trial.settle("inconclusive", reason)
    elif tier == "exact":
        needed, once = challenges.draws_needed(question)
        draws = min(needed, max(1, settings.max_macs // max(1, question.macs)))
        escape = once**draws
        face(trials, question, challenges.exact(question, draws))
    else:
        face(trials, question, iter([challenges.rounding(question)]))
    for trial in trials:
        decided = trial.status in ("passed", "failed")
        yield Row(
            case.name,
            question.op,
            trial.backend,
            question.dtype.name,
            tier,
            trial.status,
            escape_probability=escape if decided else None,
            terms=question.most_terms,
            reason=trial.reason,
            repro=_repro(case, question, tier, trial.backend),
            **trial.evidence,
        )


def _held_to(backend: str, tier: str) -> bool:
    # A method with an error model of its own does not sum products, so it need not be exact on integers.
    return tier == "rounding" or not hasattr(convback.get_backend(backend), "error_bound")


def refuse(trial: Trial, question: Question, named: tuple[str, ...]) -> None:
    """Settle the trial of a backend that does not take the question, or only when it is named."""
    backend = convback.get_backend(trial.backend)
    practical = getattr(backend, "PRACTICAL_MACS", None)
    if practical is not None and question.macs > practical and trial.backend not in named:
        trial.settle(
            "unsupported",
            f"{question.macs} products take it too long (it is meant for {practical}); -b {trial.backend} asks anyway",
        )
    elif hasattr(backend, "chosen"):
        with suppress(LookupError):  # no backend takes it: the call itself will say so
            trial.reason = f"ran {backend.chosen(question.op, question.layer, question.dtype)}"


def _out_of_reach(question: Question, tier: str, settings: Settings) -> str:
    """Why the question cannot be decided within the limits, or nothing."""
    if question.macs > settings.max_macs:
        return f"{question.macs} products are more than --max-macs {settings.max_macs}"
    if (memory := _memory(question)) > settings.max_memory:
        return f"about {memory} bytes of memory are more than --max-memory {settings.max_memory}"
    if tier == "exact" and challenges.integer_bound(question) == 0:
        limit = challenges.EXACT_LIMIT[question.dtype.name]
        return (
            f"sums of {question.most_terms} products exceed {limit}, up to which {question.dtype} holds every integer"
        )
    return ""


def _memory(question: Question) -> int:
    # Operands, their copies and results of the backend, and the oracle's float64 copies of all three.
    elements = sum(map(math.prod, (*question.operand_shapes, question.result_shape)))
    return elements * (3 * question.dtype.itemsize + 3 * 8)


def face(trials: list[Trial], question: Question, asked: Iterator[Challenge]) -> None:
    """Put the challenges to every trial that still stands."""
    for challenge in asked:
        for trial in trials:
            if trial.status == "passed":
                _attempt(trial, question, challenge)


def _attempt(trial: Trial, question: Question, challenge: Challenge) -> None:
    before = [operand.copy() for operand in challenge.operands]
    out = np.full(question.result_shape, np.nan, question.dtype)
    try:
        answer(question, challenge.operands, trial.backend, out)
    except UnsupportedProblem as error:
        trial.settle("unsupported", error.reason)
    except (Exception, SystemExit) as error:  # whatever a stranger's code raises is a finding, not our end
        trial.settle("error", f"{type(error).__name__}: {error}")
    else:
        _judge(trial, out, challenge)
    for operand, copy, name in zip(challenge.operands, before, "ab", strict=False):
        if not np.array_equal(operand, copy):
            np.copyto(operand, copy)
            trial.status, trial.reason = "failed", f"the backend changed its operand {name}"


def _judge(trial: Trial, out: Array, challenge: Challenge) -> None:
    with np.errstate(all="ignore"):
        got = out[challenge.index]
        error = np.abs(got - challenge.expected)
        ratio = np.where(error == 0, 0, error / challenge.allowed)
    error, ratio = (np.where(np.isnan(values), np.inf, values) for values in (error, ratio))
    if not error.any():
        return
    worst = np.unravel_index(int(ratio.argmax()), ratio.shape)
    place = worst if challenge.index is ... else tuple(axis[worst] for axis in challenge.index)
    trial.evidence = {
        "error_over_bound": float(ratio[worst]),
        "max_abs_error": float(error.max()),
        "worst_index": tuple(map(int, place)),
        "got": float(got[worst]),
        "expected": float(challenge.expected[worst]),
    }
    if wrong := int((ratio > 1).sum()):
        trial.status, trial.reason = "failed", f"{wrong} of {ratio.size} elements are wrong"


def answer(question: Question, operands: tuple[Array, ...], backend: str, out: Array | None = None) -> Array:
    """Have a backend compute the gradient that is asked for, through the public functions."""
    if question.op == "db":
        return convback.db(operands[0], backend=backend, out=out)
    g = question.geom
    layer: dict[str, Any] = {
        "stride": g.stride, "padding": g.padding, "dilation": g.dilation, "groups": g.groups, "backend": backend,
        "out": out,
    }  # fmt: skip
    if question.op == "y":
        return convback.conv(*operands, **layer)
    function: Callable[..., Array] = {"dx": convback.dx, "dw": convback.dw}[question.op]
    return function(*operands, question.result_shape, **layer)


def _repro(case: Case, question: Question, tier: str, backend: str) -> str:
    return (
        f"convback verify -b {backend} --case '{case.word}' --op {question.op} --dtype {question.dtype} "
        f"--tier {tier} --seed {question.seed}"
    )
