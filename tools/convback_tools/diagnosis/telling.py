"""Cases that tell mistakes apart: on them the mistakes give different results."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from convback import ConvGeometry
from convback.contract import Array
from convback_tools import suites
from convback_tools.diagnosis.candidates import together
from convback_tools.diagnosis.catalogue import by_name
from convback_tools.diagnosis.explanations import Explanation
from convback_tools.diagnosis.task import Task, task
from convback_tools.submission import on_integers


def tells_apart(op: str, one: Explanation, other: Explanation) -> str:
    """The first of the discriminating cases on which two explanations differ; empty where none does, or is known."""
    for case in suites.suite("discriminating"):
        right = integer_task(op, case.geom)
        first, second = (_result(right, explanation) for explanation in (one, other))
        if first is not None and second is not None and differ(first, second):
            return case.name
    return ""


def differ(one: Array, other: Array) -> bool:
    """Whether two results are no multiples of each other."""
    if one.shape != other.shape:
        return True
    power = float(np.vdot(one, one))
    scale = float(np.vdot(one, other)) / power if power else 1.0
    return not np.allclose(other, scale * one, rtol=1e-9, atol=1e-9 * float(np.abs(other).max(initial=0)))


@lru_cache(32)
def integer_task(op: str, geom: ConvGeometry) -> Task:
    """A layer with integer operands."""
    return task(on_integers(geom), op)


def _result(right: Task, explanation: Explanation) -> Array | None:
    """What these mistakes give there; None where one of them cannot be made, or is none of the candidates."""
    known = by_name(right.op, right.geom.rank)
    keys = list(zip(explanation.ids, explanation.what, strict=True))
    if any(key not in known for key in keys):
        return explanation.scale * right.result() if len(keys) == 1 else None
    return together(tuple(known[key] for key in keys), right)
