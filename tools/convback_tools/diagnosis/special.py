"""Results that no candidate gives: sums in too few digits, and finite differences with too small a step."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np

from convback.contract import Array
from convback_tools.diagnosis.explanations import Comparison, Explanation
from convback_tools.verification.challenges import UNIT_ROUNDOFF

NEAR = 0.1  # how far, relatively, a right result in few digits may be off before it is called another thing
STEPS = tuple(10.0**-digits for digits in range(8, 0, -1))
ENOUGH = 6  # entries that may be multiples by chance


def factor(comparison: Comparison) -> Explanation | None:
    """The right result times a number."""
    right = comparison.standard.expected.astype(np.float64)
    if not comparison.is_comparable or (fitted := comparison.fit(right)) is None:
        return None
    scale, residual, fits = fitted
    t = comparison.right
    images, positions = t.geom.N, math.prod(t.geom.y_spatial)
    means = {1 / images: "1/N", 1 / positions: "1/(number of positions)", 1 / (images * positions): "1/(N · positions)"}
    if scale != 1 and scale in means:
        return Explanation(
            ("any.mean_for_sum",), (f"a mean stands where a sum should: {means[scale]} = {scale:.6g} of it",),
            (f"{t.op} = {means[scale]} · sum",), scale, residual, fits,
        )  # fmt: skip
    filters = t.geom.F // t.geom.groups
    if t.op == "dx" and filters > 1 and scale == 1 / filters:
        return Explanation(
            ("dx.filters_not_summed",), ("the filters are averaged, where they should be summed",),
            ("dx[n,c,r] = 1/F' · sum over f,i,k of dy[n,f,i] * w[f,c,k]",), scale, residual, fits,
        )  # fmt: skip
    return Explanation(
        ("any.sign",), (f"it is {scale:.6g} times the right result",), (f"{t.op} = {scale:.6g} · {t.op}",),
        scale, residual, fits,
    )  # fmt: skip


def low_precision(comparison: Comparison) -> Explanation | None:
    """The right result, with errors as sums in float16 or bfloat16 have them."""
    standard = comparison.standard
    if not comparison.is_comparable or not comparison.size:
        return None
    residual = comparison.relative_error
    unit = UNIT_ROUNDOFF["bfloat16"] * math.sqrt(standard.terms) * max(1.0, standard.largest / _typical(comparison.got))
    if not 0 < residual <= min(NEAR, unit):
        return None
    return Explanation(
        ("any.low_precision_sum",), (f"it is right but for errors of {residual:.1g}, as sums in half precision have",),
        ("a sum that is rounded to few digits after each addition",), 1.0, residual, True,
    )  # fmt: skip


def finite_difference(comparison: Comparison) -> Explanation | None:
    """Differences of a loss L = sum of dy * y: all are multiples of the last digit of L over the step."""
    t = comparison.right
    loss = float(np.vdot(t.dy, t.changed(op="y").result()))
    if not comparison.is_comparable or comparison.got.size <= ENOUGH or not comparison.size:
        return None
    dtypes: tuple[Any, ...] = (np.float32, np.float64)
    for dtype, share in product(dtypes, (1.0, 0.5)):  # a binade below, the last digit is half of it
        digit = share * float(np.spacing(dtype(abs(loss))))
        for step, sides in product(STEPS, (1, 2)):  # the coarsest multiples first, as they are multiples of finer ones
            if _multiples(comparison.got, digit / (sides * step)):
                return _difference(comparison, step, sides, np.dtype(dtype).name)
    return None


def _difference(comparison: Comparison, step: float, sides: int, dtype: str) -> Explanation:
    formula = "(L(v + h) - L(v - h)) / 2h" if sides == 2 else "(L(v + h) - L(v)) / h"
    return Explanation(
        ("check.epsilon",), (f"all entries are multiples of the last digit of a {dtype} loss over a step of {step:g}",),
        (f"{formula} with h = {step:g} in {dtype}",), 1.0, comparison.relative_error, True,
    )  # fmt: skip


def _multiples(values: Array, unit: float) -> bool:
    """Whether all are whole multiples, though not all zero, up to the rounding of the division."""
    quotients = values / unit
    largest = float(np.abs(quotients).max())
    if not 1 <= largest <= 2**20:  # beyond, anything is near a multiple
        return False
    return bool(np.all(np.abs(quotients - np.rint(quotients)) <= 2.0**-22 * np.abs(quotients) + 2.0**-20))


def _typical(values: Array) -> float:
    """Root of the mean square."""
    return float(np.linalg.norm(values)) / math.sqrt(max(1, values.size))
