"""Whether gradients that are wrong belong to a forward pass that is wrong: one identity of the adjoint, in one file.

    <dx, x> = <dy, y - b> = <dw, w>

It holds for the gradients of whatever layer computed y. It is one number, so it proves nothing, but says where to look.
"""

from __future__ import annotations

import math

import numpy as np

from convback.contract import Array
from convback_tools.checking.precision import Standard
from convback_tools.submission import Submission

NOTE = (
    "with this y, <dx, x> = <dy, y - b> = <dw, w> holds for {}: before the gradients, look at the forward pass and the "
    "parameters"
)


def agrees_with_own_y(given: Submission, op: str, of_gradient: Standard, of_y: Standard) -> bool:
    """Whether the identity holds for a dx or dw with the y of the same file, and would not with the right one."""
    operand = given.x if op == "dx" else given.w
    b = 0.0 if given.b is None else given.b.reshape(-1, *(1,) * given.geom.rank)
    if given.dy is None:
        return False
    of_operand = given.results[op] * operand
    of_own, of_right = (given.dy * (y - b) for y in (given.results["y"], of_y.expected.astype(np.float64)))
    allowed = np.sum(of_gradient.allowed * np.abs(operand)) + np.sum(of_y.allowed * np.abs(given.dy))
    allowed += np.finfo(np.float64).eps * (np.abs(of_operand).sum() + np.abs(of_own).sum())  # products, and y - b
    if not np.isfinite(allowed):
        return False
    here = _total(of_operand)
    return bool(abs(here - _total(of_own)) <= allowed < abs(here - _total(of_right)))


def _total(terms: Array) -> float:
    return math.fsum(terms.ravel())
