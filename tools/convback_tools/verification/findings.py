"""What a comparison of an answer with what is right has found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from convback.contract import Array


@dataclass(frozen=True)
class Finding:
    """The verdict of one challenge on one answer.

    Attributes
    ----------
    fault : str
        What is wrong, in words; empty where nothing is.
    undecided : str
        Why nothing can be said, in words.
    error_over_bound : float
        Largest ratio of an element's error to the largest that is allowed; infinite where none is allowed.
    max_abs_error : float
    wrong : int
        How many elements are wrong.
    bound_over_gamma : float or None
        Largest ratio of a bound that the backend declares to gamma_K * G, that of a sum of products.
    worst_index, got, expected
        Where error over bound is largest, and both values there; None where there is no error.
    """

    fault: str = ""
    undecided: str = ""
    error_over_bound: float = 0.0
    max_abs_error: float = 0.0
    wrong: int = 0
    bound_over_gamma: float | None = None
    worst_index: tuple[int, ...] | None = None
    got: float | None = None
    expected: float | None = None

    @property
    def rank(self) -> tuple[bool, bool, float]:
        """Sorts findings: a fault is worse than nothing decided, and that than any error within its bound."""
        return bool(self.fault), bool(self.undecided), self.error_over_bound


def compare(got: Array, expected: Array, allowed: Array | float = 0.0, index: Any = ...) -> Finding:
    """Hold values against the right ones; an error above `allowed` is a fault.

    Parameters
    ----------
    got, expected : ndarray
        Of one shape. NaN in `got` is an infinite error.
    allowed : ndarray or float
        The largest error of each element. Where that is not finite, nothing can be said of the element.
    index : tuple of ndarray, optional
        Where the values stand in the result, if they are only some of its elements.
    """
    if np.array_equal(got, expected):
        return Finding()
    with np.errstate(all="ignore"):
        error = np.abs(got - expected)
        ratio = np.where(error == 0, 0, error / allowed)
    error = np.where(np.isnan(error), np.inf, error)
    ratio = np.where(np.isnan(ratio), np.inf, ratio)
    worst = np.unravel_index(int(ratio.argmax()), ratio.shape)
    place = worst if index is ... else tuple(axis[worst] for axis in index)
    wrong = int((ratio > 1).sum())
    unbounded = int(np.sum(~np.isfinite(np.broadcast_to(allowed, ratio.shape))))
    return Finding(
        fault=f"{wrong} of {ratio.size} elements are wrong" if wrong else "",
        undecided=f"the error bound of {unbounded} of {ratio.size} elements overflows" if unbounded else "",
        error_over_bound=float(ratio[worst]),
        max_abs_error=float(error.max()),
        wrong=wrong,
        worst_index=tuple(map(int, place)),
        got=float(got[worst]),
        expected=float(expected[worst]),
    )
