"""Metamorphic relations: what must hold between the answers to related problems, with no oracle at all.

Most restate the layer as another one (`convback_tools.verification.restated`). Answers must agree exactly on integers;
for a backend that declares an `error_bound`, within both bounds together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

import convback
from convback import ConvbackError
from convback.contract import Array
from convback_tools.verification.challenges import Challenge
from convback_tools.verification.findings import Finding, compare
from convback_tools.verification.question import Question
from convback_tools.verification.respondent import Respondent
from convback_tools.verification.restated import RESTATED, Ask, Operands, changed

THREADS = (1, 2, 3, 7)
EXPONENTS = (3, -5)
GROWTH = 64  # a related problem with more than so many times the products is left out


class Relation(NamedTuple):
    """A name, and the related answer: a function of the question, its operands, and of whoever answers the others.

    `asks` says whether anybody is asked, so that the answer has an error.
    """

    name: str
    related: Callable[[Question, Operands, Ask], Array]
    asks: bool = True


class Unanswered(Exception):
    """The backend does not take the related question."""


class Relations(Challenge):
    """Integers: the answers to related problems must agree."""

    in_every_way = False

    def draw(self) -> Operands:
        return self.question.integers(self.question.generator("relations", self.number))

    def judge(self, answer: Array, respondent: Respondent) -> Finding:
        def ask(question: Question, operands: Operands) -> Array:
            if respondent.refusal(question):
                raise Unanswered
            return respondent.answer(question, operands)

        def bound(question: Question, operands: Operands) -> Array:
            declared = respondent.error_bound(question, operands)
            return np.zeros(question.result_shape) if declared is None else declared

        worst, own_bound = Finding(), bound(self.question, self.operands)
        for name, related, asks in relations(self.question):
            try:
                other = related(self.question, self.operands, ask)
            except Unanswered:
                continue
            other_bound = related(self.question, self.operands, bound) if asks else 0
            found = compare(answer, other, own_bound + other_bound)
            if found.fault:
                found = replace(found, fault=f"the relation '{name}' does not hold: {found.fault}")
            worst = max(worst, found, key=lambda finding: finding.rank)
        return worst


def relations(question: Question) -> Iterator[Relation]:
    """Every relation that says something of the question."""
    g = question.geom
    yield Relation("scaled by powers of two", scaled)
    yield Relation("on 1, 2, 3 and 7 threads", threaded)
    if question.dtype == np.float32:
        yield Relation("float32 = float64", widened)
    if g.N > 1:
        yield Relation("batch split", split)
    if question.op != "db" and set(g.kernel) == set(g.stride) == {1} and not np.any(g.padding):
        yield Relation("1x1 = matrix product", multiplied, asks=False)
    for name, restate in RESTATED.items():
        try:
            restated = restate(g)
        except ConvbackError:  # too large to be addressed
            continue
        if restated is None or restated.geom.macs > GROWTH * g.macs:
            continue
        if question.op != "db" or {"y", "b"} & {*restated.into, *restated.back}:
            yield Relation(name, restated)


def scaled(question: Question, operands: Operands, ask: Ask) -> Array:
    exponents = EXPONENTS[: len(operands)]
    there = tuple(np.ldexp(a, e) for a, e in zip(operands, exponents, strict=True))
    result: Array = np.ldexp(ask(question, there), -sum(exponents))
    return result


def threaded(question: Question, operands: Operands, ask: Ask) -> Array:
    """The first answer that differs from the one on as many threads as there are now, else that one."""
    before = convback.get_num_threads()
    usual = ask(question, operands)
    try:
        for threads in THREADS:
            convback.set_num_threads(threads)
            other = ask(question, operands)
            if not np.array_equal(other, usual):
                return other
    finally:
        convback.set_num_threads(before)
    return usual


def widened(question: Question, operands: Operands, ask: Ask) -> Array:
    return ask(replace(question, dtype=np.dtype(np.float64)), tuple(a.astype(np.float64) for a in operands))


def split(question: Question, operands: Operands, ask: Ask) -> Array:
    g = question.geom
    half = g.N // 2
    parts = []
    for batch in (slice(half), slice(half, None)):
        there = tuple(a if name == "w" else a[batch] for name, a in zip(question.operand_names, operands, strict=True))
        geom = changed(g, x_shape=(len(range(g.N)[batch]), *g.x_shape[1:]))
        parts.append(ask(replace(question, geom=geom), there))
    if question.op in ("y", "dx"):
        return np.concatenate(parts)
    return parts[0] + parts[1]


def multiplied(question: Question, operands: Operands, ask: Ask) -> Array:
    """The gradient by NumPy's product of integer matrices, with (n, g, channel, position) as axes."""
    g = question.geom
    named = dict(zip(question.operand_names, (a.astype(np.int64) for a in operands), strict=True))
    arrays = {
        name: a.reshape(g.groups, g.F // g.groups, g.C // g.groups)
        if name == "w"
        else a.reshape(g.N, g.groups, a.shape[1] // g.groups, -1)
        for name, a in named.items()
    }
    if question.op == "y":
        product = arrays["w"] @ arrays["x"]
    elif question.op == "dx":
        product = arrays["w"].swapaxes(-1, -2) @ arrays["dy"]
    else:
        product = (arrays["dy"] @ arrays["x"].swapaxes(-1, -2)).sum(axis=0)
    return product.reshape(question.result_shape).astype(question.dtype)
