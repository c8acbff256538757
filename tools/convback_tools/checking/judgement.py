"""Judges results that somebody computed: exactly, or within the bound that their making explains."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from convback import ParameterError
from convback.contract import Array
from convback.geometry import Shape
from convback_tools.checking.consistency import NOTE, agrees_with_own_y
from convback_tools.checking.precision import LARGEST, Making, Standard, making, shown_digits, standard
from convback_tools.checking.rows import Row, with_evidence
from convback_tools.submission import RESULTS, Submission
from convback_tools.verification.challenges import UNIT_ROUNDOFF
from convback_tools.verification.findings import compare
from convback_tools.verification.question import Question

NARROWER = "float32"
IN_FLOAT32 = "within the rounding bound of float32: if your program computes in float32, say --computed-in float32"
PRINTED = "within what printing explains: if the numbers were printed with {0} digits, say --digits {0}"


@dataclass(frozen=True)
class Judge:
    """What is said of the numbers, and how far to go.

    Attributes
    ----------
    computed_in : str or None
        The dtype they were computed in; None: the narrowest of the arrays.
    digits : int or None
        With how many significant digits they were printed; None: with all.
    max_macs : int
        The most products that the oracle computes.
    """

    computed_in: str | None = None
    digits: int | None = None
    max_macs: int = 10**10

    def rows(self, given: Submission, case: str) -> list[Row]:
        """A row for each result, in the order y, dx, dw, db."""
        with np.errstate(all="ignore"):  # a file may hold any numbers
            rows = [self._row(given, op, case) for op in RESULTS if op in given.results]
            return self._with_note(given, rows)

    def _row(self, given: Submission, op: str, case: str) -> Row:
        got, question = given.results[op], Question(op, given.geom, np.dtype("float64"))
        made = making(given, op, self.computed_in, self.digits)
        row = Row(case, op, made.dtype, None, "failed", size=got.size)
        if got.shape != question.result_shape:
            expected = f"{op} has shape {got.shape}; expected {question.result_shape}"
            return replace(row, reason=expected + _likeness(got.shape, op, given))
        try:
            given.operands(op)
        except ParameterError as error:
            return replace(row, status="inconclusive", reason=str(error))
        if question.macs > self.max_macs:
            reason = f"{question.macs} products are more than --max-macs {self.max_macs}"
            return replace(row, status="inconclusive", reason=reason)
        row = _judged(row, given, made)
        return replace(row, reason=row.reason + self._hint(row, given, made)) if row.status == "failed" else row

    def _hint(self, row: Row, given: Submission, made: Making) -> str:
        """What would make a wrong result right after all, if something does."""
        op = str(row.array)

        def passes(given: Submission, made: Making) -> bool:
            return _judged(row, given, made).status == "passed"

        if op == "y" and given.b is not None and passes(replace(given, b=None), made):
            return "; b is missing: without it, this y is right"
        if made.dtype == "float64" and passes(given, making(given, op, NARROWER, self.digits)):
            return f"; {IN_FLOAT32}"
        digits = shown_digits([*given.operands(op), given.results[op]])
        if row.tier == "rounding" and self.digits is None and passes(given, replace(made, digits=digits)):
            return f"; {PRINTED.format(digits)}"
        return ""

    def _with_note(self, given: Submission, rows: list[Row]) -> list[Row]:
        """The rows; that of y says so, where gradients are wrong just as it is."""
        wrong = {row.array or "" for row in rows if row.status == "failed" and row.tier}
        if "y" not in wrong or given.dy is None:
            return rows
        right = {op: standard(given, op, making(given, op, self.computed_in, self.digits)) for op in wrong - {"db"}}
        agreeing = [op for op in ("dx", "dw") if op in wrong and agrees_with_own_y(given, op, right[op], right["y"])]
        if not agreeing:
            return rows
        note = NOTE.format(" and ".join(agreeing))
        return [replace(row, reason=f"{row.reason}; {note}") if row.array == "y" else row for row in rows]


def _judged(row: Row, given: Submission, made: Making) -> Row:
    """The row of a result of the right shape, by the way it was made."""
    op = str(row.array)
    got, right = given.results[op], standard(given, op, made)
    known = np.isfinite(right.allowed)
    found = compare(np.where(known, got, 0.0), np.where(known, right.expected, 0.0), right.allowed)
    status, reason = "passed", ""
    if not known.all():
        status = "inconclusive"
        reason = f"nothing can be said of {np.sum(~known)} of {known.size} elements: {_why_unknown(right, made)}"
    if found.fault:
        status, reason = "failed", found.fault + _not_finite(got, known)
    tier = "exact" if right.is_exact else "rounding"
    return with_evidence(replace(row, tier=tier, status=status, reason=reason), found)


def _why_unknown(right: Standard, made: Making) -> str:
    if not math.isfinite(right.largest):
        return "the operands are not finite, or their products overflow float64"
    if right.terms * UNIT_ROUNDOFF[made.dtype] >= 1:
        return f"a sum of {right.terms} products has no rounding bound in {made.dtype}"
    return f"sums up to {right.largest:.3g} may overflow {made.stored}, which ends at {LARGEST[made.stored]:.3g}"


def _not_finite(got: Array, known: Array) -> str:
    """Where the first NaN or infinity stands that is judged, and how many there are."""
    places = np.argwhere(~np.isfinite(got) & known)
    if not len(places):
        return ""
    first = tuple(map(int, places[0]))
    return f"; {len(places)} are not finite, the first is {float(got[first])} at {list(first)}"


def _likeness(shape: Shape, op: str, given: Submission) -> str:
    """A sentence on what a result of the wrong shape may be."""
    g = given.geom
    padded = tuple(extent + lo + hi for extent, (lo, hi) in zip(g.x_spatial, g.padding, strict=True))
    known = {
        "w: is this dw?": g.w_shape,
        "x: is this dx?": g.x_shape,
        "x with its padding: cut the padding off": (g.N, g.C, *padded),
        "y and dy: is this y?": g.y_shape,
        "b: is this db?": (g.F,),
        "w with filters and channels exchanged: w is (F, C/groups, *kernel)": (*g.w_shape[1::-1], *g.kernel),
        "sums for each image: db sums over the images, too": (g.N, g.F),
    }
    for text, likely in known.items():
        if shape == likely:
            return f". It is the shape of {text}"
    right = Question(op, g, np.dtype("float64")).result_shape
    if tuple(extent for extent in shape if extent != 1) == tuple(extent for extent in right if extent != 1):
        return ". It differs by axes of extent 1 only"
    return ". Its axes are in another order" if sorted(shape) == sorted(right) else ""
