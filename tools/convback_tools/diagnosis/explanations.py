"""Which mistakes explain a wrong result: each is made on the same operands, and what comes out is compared.

One scalar a is free, got = a * candidate (got = right + a * candidate, for what is added): it finds a mean, a sign or a
learning rate on top. It is fitted by least squares, a = <candidate, got> / <candidate, candidate>, and replaced by a
count or its inverse where it is one up to rounding. The residual is what is left: |got - a * candidate| / |got|, in the
Euclidean norm. A mistake *fits* where no element is further off than rounding errors explain.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from convback.contract import Array
from convback_tools.checking.precision import Standard
from convback_tools.diagnosis.candidates import Candidate, together
from convback_tools.diagnosis.catalogue import candidates
from convback_tools.diagnosis.location import location
from convback_tools.diagnosis.task import Task

ENOUGH = 3  # elements from which on a free scalar says something; fewer can be met by chance
SNAP = 2.0**-18  # how near to a count a fitted scalar is taken for it, where its data are float32


@dataclass(frozen=True)
class Explanation:
    """A mistake, or several, and how well it explains a result.

    Attributes
    ----------
    ids, what, formula : tuple of str
        Of each mistake that was made.
    scale : float
        The fitted scalar.
    residual : float
        What is left unexplained, relative to the result.
    fits : bool
        Whether rounding errors explain what is left.
    """

    ids: tuple[str, ...]
    what: tuple[str, ...]
    formula: tuple[str, ...]
    scale: float
    residual: float
    fits: bool

    @property
    def rank(self) -> tuple[bool, int, bool, float]:
        """The best first: what fits, by the fewest mistakes, without a factor besides."""
        left = 0.0 if self.fits else self.residual
        return not self.fits, len(self.ids), self.scale != 1, left


class Comparison:
    """A wrong result, and what it is held against.

    `oriented` turns what a task computes, which is of a cross-correlation, into the mode of the result.
    """

    def __init__(self, got: Array, right: Task, standard: Standard, oriented: Callable[[Array], Array]) -> None:
        self.finite = np.isfinite(got)
        self.got = np.where(self.finite, got, 0.0)
        self.right, self.standard, self.oriented = right, standard, oriented
        self.size = float(np.linalg.norm(self.got))
        bounds = standard.allowed[np.isfinite(standard.allowed)]
        self.noise = 4 * float(bounds.max(initial=0))  # a candidate sums other products than the right result
        self.counts = _counts(right)

    @property
    def is_comparable(self) -> bool:
        """Whether the result has the right shape."""
        return self.got.shape == self.standard.expected.shape

    @property
    def error(self) -> Array:
        """What the result is, less what it should be."""
        return np.where(self.finite, self.got - self.standard.expected.astype(np.float64), np.nan)

    @property
    def relative_error(self) -> float:
        """The error relative to the result, in the Euclidean norm; NaN and infinities left aside."""
        return float(np.linalg.norm(self.error[self.finite])) / self.size

    @property
    def place(self) -> str:
        """Where the wrong entries stand, in words."""
        right, t = self.standard.expected, self.right
        if not self.is_comparable:
            return f"its shape is {self.got.shape}, where {right.shape} is right"
        wrong = ~self.finite | (np.abs(self.error) > self.standard.allowed)
        infinite = "" if self.finite.all() else f"{int(np.sum(~self.finite))} entries are NaN or infinite; "
        return infinite + location(t.op, wrong, t.geom)

    def explanation(self, chosen: tuple[Candidate, ...], result: Array | None) -> Explanation | None:
        """How well mistakes explain the result; None where they give another shape, nothing, or what is right."""
        if result is None:
            return None
        result = self.oriented(result)
        if result.shape != self.got.shape or self.is_right(result, chosen):
            return None
        if result.size and not result.any():  # that says nothing of which mistake it was
            return None
        added = any(c.added for c in chosen)
        target = np.where(self.finite, self.error, 0.0) if added else self.got
        fitted = self.fit(np.where(self.finite, result, 0.0), target)
        if fitted is None:
            return None
        scale, residual, fits = fitted
        texts = [(c.id, c.what, c.formula) for c in chosen]
        ids, what, formula = zip(*texts, strict=True)
        return Explanation(ids, what, formula, scale, residual, fits)

    def is_right(self, result: Array, chosen: tuple[Candidate, ...]) -> bool:
        """Whether the mistakes change nothing here."""
        if any(c.added for c in chosen):
            return not result.any()
        right = self.standard.expected
        return result.shape == right.shape and bool(np.all(np.abs(result - right) <= self.noise))

    def fit(self, candidate: Array, target: Array | None = None) -> tuple[float, float, bool] | None:
        """The scalar, the residual and whether it fits; None where there is nothing to fit."""
        target = self.got if target is None else target
        if not candidate.size:
            return 1.0, 0.0, True
        power = float(np.vdot(candidate, candidate))
        if not 0 < power < math.inf or not self.size > 0:
            return None
        scale = float(np.vdot(candidate, target)) / power
        scale, is_known = self._snapped(scale)
        if scale == 0 or (not is_known and self.finite.sum() < ENOUGH):
            return None
        left = target - scale * candidate
        of_product = 4 * np.finfo(np.float64).eps * np.abs(scale * candidate)
        fits = bool(np.all(np.abs(left) <= self.noise * max(1.0, abs(scale)) + of_product))
        return scale, float(np.linalg.norm(left)) / self.size, fits

    def _snapped(self, scale: float) -> tuple[float, bool]:
        for count in self.counts:
            for known in (count, 1 / count, -count, -1 / count):
                if abs(scale - known) <= SNAP * abs(known):
                    return known, True
        return scale, False


def single(comparison: Comparison) -> Iterator[Explanation]:
    """Every mistake that gives a result of this shape, made alone."""
    task = comparison.right
    for candidate in candidates(task.op, task.geom.rank):
        if found := comparison.explanation((candidate,), candidate.result(task)):
            yield found


def pairs(comparison: Comparison, advance: Callable[[str], None] = lambda _: None) -> Iterator[Explanation]:
    """Every pair of mistakes of different ids that can be made together."""
    task = comparison.right
    for chosen in possible_pairs(list(candidates(task.op, task.geom.rank))):
        advance(" and ".join(c.id for c in chosen))
        try:
            result = together(chosen, task)
        except ValueError:  # one leaves shapes that the other can do nothing with
            continue
        if found := comparison.explanation(chosen, result):
            yield found


def possible_pairs(known: Sequence[Candidate]) -> list[tuple[Candidate, Candidate]]:
    return [
        (first, second)
        for first, second in combinations(known, 2)
        if first.id != second.id and not (first.instead and second.instead) and not (first.added or second.added)
    ]


def _counts(t: Task) -> list[float]:
    """Numbers that a sum is often divided by, or multiplied with, by mistake."""
    positions, images = math.prod(t.geom.y_spatial), t.geom.N
    counts = (1, 2, images, positions, images * positions, t.geom.F // t.geom.groups, t.geom.C // t.geom.groups)
    return [float(count) for count in dict.fromkeys(counts) if count > 0]
