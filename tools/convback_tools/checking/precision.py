"""How far a right result may be from the exact one, by the way its numbers were made.

Where the program's own operands were a and b, its sum of K products, computed with unit roundoff u in any order, is off
by

    gamma_K sum |a b|  +  K times half the smallest subnormal number        (challenges.rounding_error)

The file may hold a' and b' instead, each off by at most s: printed with N digits, or read as float64 and rounded to the
narrower dtype of the program. Then |a b - a' b'| <= (|a'| + s_a)(|b'| + s_b) - |a' b'|, so with

    G = sum |a' b'|        W = sum (|a'| + s_a)(|b'| + s_b)

the sums of the two are W - G apart at most, and the bound is gamma_K W + (W - G) + s of the result, which may have been
printed or rounded as well. For N digits s = e |a'| with e = 10^(1-N)/2: half a unit of the N-th digit of a number that
begins at 10^m is 10^(m+1-N)/2, and the number is at least 10^m. Then W - G = (2e + e^2) G, and e G for db.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import numpy as np

from convback.contract import Array
from convback_tools.submission import Submission
from convback_tools.verification.challenges import (
    LONGDOUBLE_MACS,
    LONGDOUBLE_ROUNDOFF,
    SMALLEST_ROUNDING,
    UNIT_ROUNDOFF,
    oracle_error,
    rounding_error,
)
from convback_tools.verification.question import EXACT_LIMIT, Question

DTYPES = tuple(UNIT_ROUNDOFF)
SHOWN = 1000
LARGEST = {
    **{name: float(np.finfo(name).max) for name in ("float16", "float32", "float64")},
    "bfloat16": (2 - 2.0**-7) * 2.0**127,
}


@dataclass(frozen=True)
class Making:
    """How a result was made.

    Attributes
    ----------
    dtype : str
        What it was computed in, one of `DTYPES`.
    stored : str
        The narrowest dtype that it went through: that of its array, if narrower.
    digits : int or None
        With how many significant digits all numbers of the file were printed.
    """

    dtype: str
    stored: str
    digits: int | None = None

    @property
    def has_strays(self) -> bool:
        """Whether the program may have had other operands than the file: all that can be in a file, float64 holds."""
        return self.digits is not None or self.dtype != "float64"

    def strays(self, values: Array) -> Array:
        """How far each number of the file may be from the one that the program had."""
        unit, least = UNIT_ROUNDOFF[self.dtype], SMALLEST_ROUNDING[self.dtype]
        strays = np.where(_holds(self.dtype, values), 0.0, _rounded(values, unit, least))
        if self.digits is None:
            return strays
        # The decimal became a float64, with a rounding of its own.
        return np.maximum(strays, (0.5 * 10.0 ** (1 - self.digits) + UNIT_ROUNDOFF["float64"]) * np.abs(values))

    def strays_of_result(self, values: Array) -> Array:
        """The same of the result, which may have been rounded once more when it was stored."""
        strays = self.strays(values)
        if self.stored == self.dtype:
            return strays
        return np.maximum(strays, _rounded(values, UNIT_ROUNDOFF[self.stored], SMALLEST_ROUNDING[self.stored]))


def making(given: Submission, op: str, computed_in: str | None, digits: int | None) -> Making:
    """What is known of a result, and else supposed: it was computed in the narrowest dtype that it has to do with."""
    names = [op, *Question(op, given.geom, np.dtype("float64")).operand_names, *(("b",) if op == "y" else ())]
    dtypes = [np.dtype(given.dtypes[name]).name for name in names if name in given.dtypes]
    dtype = computed_in or narrowest(dtypes)
    return Making(dtype, narrowest([dtype, np.dtype(given.dtypes[op]).name]), digits)


def narrowest(dtypes: list[str]) -> str:
    """The floating dtype with the largest unit roundoff; float64 where there are only integers."""
    return max((name for name in dtypes if name in DTYPES), key=UNIT_ROUNDOFF.__getitem__, default="float64")


def shown_digits(arrays: Iterable[Array]) -> int:
    """How many significant digits it takes to write the numbers; of each array, some are looked at."""
    values = (float(value) for array in arrays for value in array.flat[:SHOWN] if np.isfinite(value))
    return max((len(Decimal(repr(value)).normalize().as_tuple().digits) for value in values), default=1)


@dataclass(frozen=True)
class Standard:
    """What a result is held to.

    Attributes
    ----------
    expected : ndarray
    allowed : ndarray
        The largest error of each element; infinite where nothing can be said.
    is_exact : bool
        Whether it must be met exactly: the operands are integers, and no sum of them is rounded.
    terms : int
        K of the longest sum.
    largest : float
        The largest sum of absolute products.
    """

    expected: Array
    allowed: Array
    is_exact: bool
    terms: int
    largest: float


def standard(given: Submission, op: str, made: Making) -> Standard:
    """The right result, and how far the one that was given may be from it."""
    question = Question(op, given.geom, np.dtype("float64"))
    dtype, roundoff = _oracle_arithmetic(question, made)
    expected = given.right(op, dtype)
    operands = [*given.operands(op), *([given.b] if op == "y" and given.b is not None else [])]
    G = _magnitudes(given, op, dtype)
    largest = float(G.max(initial=0))
    terms = question.terms + (op == "y" and given.b is not None)
    terms = np.broadcast_to(given.correlated(terms) if op == "dw" else terms, expected.shape)
    most = int(terms.max(initial=0))
    whole = made.digits is None and all(np.array_equal(a, np.rint(a)) for a in operands)
    # Below the limit, and not at it: a float64 G at the limit may have been rounded down to it.
    if whole and largest < EXACT_LIMIT[made.stored]:
        return Standard(expected, np.zeros(expected.shape), True, most, largest)
    W = _magnitudes(given, op, dtype, made) if made.has_strays else G
    own = rounding_error(terms, W, made.dtype, roundoff)
    got = given.results[op]
    allowed = own + (W - G) + made.strays_of_result(np.where(np.isfinite(got), got, 0.0))
    # Of the oracle: for the right result, and where they differ, for W and G.
    allowed += oracle_error(terms, W, roundoff) * (3 if made.has_strays else 1)
    unknown = ~np.isfinite(allowed) | ~np.isfinite(expected) | (W + own >= LARGEST[made.stored])
    return Standard(expected, np.where(unknown, np.inf, allowed), False, most, largest)


def _oracle_arithmetic(question: Question, made: Making) -> tuple[Any, float]:
    """Dtype and unit roundoff of the oracle: wider than the numbers were made in, where that takes no minutes.

    Else float64 is held against float64, and the error of the oracle doubles the bound. Every element is judged, which
    chosen elements alone could not do for a file that is to be called right.
    """
    if made.dtype == "float64" and question.macs <= LONGDOUBLE_MACS and UNIT_ROUNDOFF["float64"] > LONGDOUBLE_ROUNDOFF:
        return np.longdouble, LONGDOUBLE_ROUNDOFF
    return np.float64, UNIT_ROUNDOFF["float64"]


def _magnitudes(given: Submission, op: str, dtype: Any, made: Making | None = None) -> Array:
    """The sums of |a b|; of (|a| + s)(|b| + s), where it is said how the numbers were made."""

    def largest(a: Array) -> Array:
        return np.abs(a) if made is None else np.abs(a) + made.strays(a)

    dy, b = (None if a is None else largest(a) for a in (given.dy, given.b))
    return replace(given, x=largest(given.x), w=largest(given.w), dy=dy, b=b).right(op, dtype)


def _holds(dtype: str, values: Array) -> Array:
    """Which of these numbers the dtype has."""
    if dtype == "bfloat16":  # the upper half of a float32
        single = values.astype(np.float32)
        return np.asarray((single == values) & (single.view(np.uint32) & 0xFFFF == 0))
    return np.asarray(values.astype(dtype) == values)


def _rounded(values: Array, unit: float, least: float) -> Array:
    """How far numbers may be from those that they were rounded from, or that were rounded to them."""
    result: Array = np.maximum(unit / (1 - unit) * np.abs(values), least)
    return result
