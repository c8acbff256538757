"""What a candidate is: one way in which people compute a gradient wrongly, that can be done to any layer.

A candidate changes what goes into the right computation (`before`), replaces it (`instead`), or changes what comes out
(`after`). Each of these gives None where the mistake cannot happen: no stride to be ignored, say. Changes of different
kinds can be made together, which is how pairs of mistakes are found.

In formulas i, k and r stand for whole positions. D(dy) is dy with s-1 zeros between its entries, R(w) the kernel
rotated by 180 degrees, T(w) the kernel with filters and channels exchanged, FC a full correlation, summed over the
second axis of its kernel. Right is dx = FC(D(dy), R(T(w))), cropped by the padding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from convback.contract import Array
from convback_tools.diagnosis.task import Task

PRODUCTS = ("y", "dx", "dw")  # the results that are sums of products, and follow from a rule for positions


@dataclass(frozen=True)
class Candidate:
    """One way to be wrong.

    Attributes
    ----------
    id : str
        Of the catalogue (`convback_tools.diagnosis.catalogue`).
    what : str
        In words, what was done: this variant of the mistake.
    formula : str
        What was computed.
    ops : tuple of str
        The results that it can happen to.
    before, instead, after : callable, optional
        See above.
    added : bool
        The result is the right one plus a multiple of this.
    """

    id: str
    what: str
    formula: str
    ops: tuple[str, ...]
    before: Callable[[Task], Task | None] | None = None
    instead: Callable[[Task], Array | None] | None = None
    after: Callable[[Array, Task], Array | None] | None = None
    added: bool = False

    def result(self, right: Task) -> Array | None:
        """What comes out if this mistake is made, or None where it cannot be."""
        return together((self,), right)


def together(candidates: tuple[Candidate, ...], right: Task) -> Array | None:
    """What comes out if these mistakes are made at once; at most one may have an `instead`."""
    task: Task | None = right
    for candidate in candidates:
        if candidate.before is not None and task is not None:
            task = candidate.before(task)
    if task is None:
        return None
    instead = next((c.instead for c in candidates if c.instead is not None), Task.result)
    result = instead(task)
    for candidate in candidates:
        if candidate.after is not None and result is not None:
            result = candidate.after(result, task)
    return result


def flipped(a: Array, *axes: int) -> Array:
    """Reversed along these axes, or else along all spatial ones."""
    return np.flip(a, axes or tuple(range(2, a.ndim)))


def by_group(w: Array, groups: int) -> Array:
    """w as (G, F/G, C/G, *kernel)."""
    return w.reshape(groups, w.shape[0] // groups, *w.shape[1:])


def only(a: Array, axis: int, index: int) -> Array:
    """The array with zeros but at one index of an axis."""
    kept = np.zeros_like(a)
    chosen = (slice(None),) * axis + (index,)
    kept[chosen] = a[chosen]
    return kept
