"""The units of verification: one question in one tier, asked of every backend, with a row for each answer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, product
from typing import Any, Protocol

import numpy as np

from convback.contract import OPS
from convback_tools.suites import Case
from convback_tools.verification import adjoint
from convback_tools.verification.adjoint import Adjoint
from convback_tools.verification.challenges import Challenge, Exact, Rounding
from convback_tools.verification.findings import Finding
from convback_tools.verification.question import EXACT_LIMIT, Question, draws_needed
from convback_tools.verification.relations import Relations
from convback_tools.verification.respondent import Fault, Respondent
from convback_tools.verification.rows import Row

DTYPES = ("float32", "float64")
TIERS = ("exact", "rounding", "gauge", "adjoint", "relations")


@dataclass(frozen=True)
class Settings:
    """What to verify, and how far to go.

    Attributes
    ----------
    tiers : tuple of str
        Some of `TIERS`; empty: those that suit the size of each case.
    relations : bool
        Whether the relations are a tier besides.
    patient : bool
        Whether to ask backends even beyond their `PRACTICAL_MACS`.
    max_macs : int
        The most products that an oracle computes.
    max_memory : int
        The most bytes of memory for a question, without what the backend itself takes.
    max_draws : int or None
        The most draws of integers for a verdict; None: as many as press the escape probability to 2^-40.
    """

    ops: tuple[str, ...] = OPS
    dtypes: tuple[str, ...] = DTYPES
    tiers: tuple[str, ...] = ()
    relations: bool = False
    seed: int = 0
    patient: bool = False
    max_macs: int = 10**9
    max_memory: int = 4 * 2**30
    max_draws: int | None = None


class Task(Protocol):
    """Something to verify."""

    @property
    def title(self) -> str:
        """What it is, in a few words."""

    def rows(self, respondents: Sequence[Respondent], settings: Settings) -> Iterator[Row]:
        """A row for each backend that this concerns."""

    def row(self, backend: str, status: str, reason: str = "") -> Row:
        """A row without evidence."""


@dataclass(frozen=True)
class Examination:
    """A gradient of a case in a dtype, by one tier."""

    case: Case
    question: Question
    tier: str

    @property
    def title(self) -> str:
        return f"{self.case.name} {self.question.op} {self.question.dtype}"

    def row(self, backend: str, status: str, reason: str = "", **evidence: Any) -> Row:
        question = self.question
        return Row(
            self.case.name, question.op, backend, question.dtype.name, self.tier, status,
            terms=question.most_terms, reason=reason, repro=self._repro(backend), **evidence,
        )  # fmt: skip

    def rows(self, respondents: Sequence[Respondent], settings: Settings) -> Iterator[Row]:
        trials = []
        for respondent in respondents:
            trial = Trial(respondent)
            try:
                if refusal := respondent.refusal(self.question, settings.patient):
                    trial.settle("unsupported", refusal)
                elif not self._concerns(respondent):
                    continue
            except Fault as fault:
                trial.settle("error", str(fault))
            trials.append(trial)
        escape = None
        if reason := self._out_of_reach(settings):
            for trial in trials:
                trial.settle(trial.status or "inconclusive", trial.reason or reason)
        else:
            escape = self._face(trials, settings)
        for trial in trials:
            yield self._verdict(trial, escape)

    def _verdict(self, trial: Trial, escape: float | None) -> Row:
        chosen = "" if trial.status in ("unsupported", "error") else trial.respondent.chosen(self.question)
        reason = "; ".join(filter(None, [trial.reason, f"ran {chosen}" if chosen else ""]))
        if trial.status:
            return self.row(trial.respondent.name, trial.status, reason)
        evidence = dict(vars(trial.worst))
        fault, undecided, _ = (evidence.pop(name) for name in ("fault", "undecided", "wrong"))
        status = "failed" if fault else "inconclusive" if undecided else "passed"
        reason = "; ".join(filter(None, [fault, undecided, reason]))
        return self.row(trial.respondent.name, status, reason, escape_probability=escape, **evidence)

    def _concerns(self, respondent: Respondent) -> bool:
        # A method with an error model of its own does not sum products, so it need not be exact on integers.
        declares = respondent.error_model(self.question) is not None
        return self.tier == "relations" or declares == (self.tier == "gauge")

    def _face(self, trials: list[Trial], settings: Settings) -> float | None:
        """Put the challenges of the tier to every trial that stands; the escape probability, where there is one."""
        question = self.question
        if self.tier in ("exact", "adjoint"):
            kind, once = (Exact, question.escape) if self.tier == "exact" else (Adjoint, adjoint.escape(question))
            draws = min(draws_needed(once), settings.max_draws or math.inf)
            face(trials, (kind(question, number) for number in range(int(draws))))
            return once**draws
        if self.tier == "relations":
            face(trials, (Relations(question) for _ in range(1)))
        else:
            sampled = question.macs > settings.max_macs or oracle_bytes(question) > settings.max_memory
            face(trials, (Rounding(question, sampled=sampled) for _ in range(1)))
        return None

    def _out_of_reach(self, settings: Settings) -> str:
        """Why the question cannot be decided within the limits, or nothing."""
        question = self.question
        if self.tier in ("exact", "relations") and question.macs > settings.max_macs and question.op != "db":
            return f"{question.macs} products are more than --max-macs {settings.max_macs}"
        memory = oracle_bytes(question) if self.tier in ("exact", "relations") else question.bytes
        if memory > settings.max_memory:
            return f"about {memory} bytes of memory are more than --max-memory {settings.max_memory}"
        if self.tier not in ("rounding", "gauge") and question.integer_bound == 0:
            limit = EXACT_LIMIT[question.dtype.name]
            return (
                f"sums of {question.most_terms} products exceed {limit}, "
                f"up to which {question.dtype} holds every integer"
            )
        return ""

    def _repro(self, backend: str) -> str:
        question = self.question
        return (
            f"convback verify -b {backend} --case '{self.case.word}' --op {question.op} --dtype {question.dtype} "
            f"--tier {self.tier} --seed {question.seed}"
        )


class Trial:
    """One backend on its way through the challenges of a question; `status` is empty while its answers decide."""

    def __init__(self, respondent: Respondent) -> None:
        self.respondent = respondent
        self.status = self.reason = ""
        self.worst = Finding()

    def settle(self, status: str, reason: str) -> None:
        """End the trial without a verdict on numbers."""
        self.status, self.reason = status, reason

    @property
    def stands(self) -> bool:
        return not (self.status or self.worst.fault)

    def face(self, challenge: Challenge) -> None:
        ways = None if challenge.in_every_way and challenge.number == 0 else 1
        try:
            for way, answer in islice(self.respondent.answers(challenge.question, challenge.operands), ways):
                found = challenge.judge(answer, self.respondent)
                if found.fault:
                    found = replace(found, fault=way + found.fault)
                self.worst = max(self.worst, found, key=lambda finding: finding.rank)
                if not self.stands:
                    return
        except Fault as fault:
            self.settle("failed" if fault.is_wrong else "error", str(fault))
            challenge.operands = challenge.draw()  # it may have written to them


def face(trials: Sequence[Trial], challenges: Iterator[Challenge]) -> None:
    """Put challenges to every trial that still stands; none is made when no trial does."""
    while standing := [trial for trial in trials if trial.stands]:
        challenge = next(challenges, None)
        if challenge is None:
            return
        for trial in standing:
            trial.face(challenge)


def oracle_bytes(question: Question) -> int:
    """Memory of a question with an oracle: its arrays, what a comparison copies, and all of them in float64."""
    if question.op == "db":
        return question.bytes
    elements = question.bytes // question.dtype.itemsize
    return 2 * question.bytes + 3 * 8 * elements


def examinations(cases: Iterable[Case], settings: Settings) -> Iterator[Examination]:
    """Every question that the cases raise, in the tiers that suit its size."""
    for case, dtype, op in product(cases, settings.dtypes, settings.ops):
        question = Question(op, case.geom, np.dtype(dtype), settings.seed)
        for tier in settings.tiers or suitable_tiers(question, settings):
            if (op, tier) == ("db", "adjoint"):  # a sum, which the exact tier checks in linear time
                continue
            if tier in ("adjoint", "relations") and case.geom.is_empty:  # there is nothing to weigh or relate
                continue
            yield Examination(case, question, tier)


def suitable_tiers(question: Question, settings: Settings) -> tuple[str, ...]:
    if question.op == "db":
        tiers: tuple[str, ...] = ("exact",) if question.macs > settings.max_macs else ("exact", "rounding", "gauge")
    elif question.macs > settings.max_macs or oracle_bytes(question) > settings.max_memory:
        tiers = ("adjoint", "gauge")
    else:
        tiers = ("exact", "rounding", "gauge")
    return (*tiers, "relations") if settings.relations else tiers
