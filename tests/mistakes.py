"""Every mistake of the catalogue, made on layers that show it."""

from functools import cache

import numpy as np
from convback_tools import suites
from convback_tools.diagnosis.catalogue import candidates
from convback_tools.diagnosis.task import task
from convback_tools.integers import integer_operands
from convback_tools.notation import arguments
from convback_tools.submission import submission

CASES = {case.name: case.geom for case in suites.suite("discriminating")}
SEED = CASES["seed-8x8"]

# With integers an activation is saturated, and its derivative zero; these need operands of its own.
SATURATED = ("any.activation", "check.kink")


@cache
def operands(geom, kind="integers"):
    """Of integers, or real numbers whose outputs are about 1 in size."""
    given = integer_operands(geom)
    if kind == "integers":
        return given
    rng = np.random.default_rng(1)
    return {name: rng.standard_normal(a.shape) / np.sqrt(a.shape[-1] * 3) for name, a in given.items()}


def asked(geom, kind="integers", **results):
    return submission({**operands(geom, kind), **results}, **arguments(geom))


def made(candidate, right):
    """What a mistake makes of the right task, or None where it makes no difference."""
    expected, result = right.result(), candidate.result(right)
    if result is not None and candidate.added:
        lr = -(2.0**-10) if candidate.id == "dx.weights_already_updated" else 1
        result = expected + lr * result
    is_seen = result is not None and (result.shape != expected.shape or not np.allclose(result, expected))
    return result if is_seen else None


def wrong_results(geom, op, kind="integers"):
    right = task(asked(geom, kind), op)
    for candidate in candidates(op, geom.rank):
        if (candidate.id in SATURATED) == (kind != "integers") and (result := made(candidate, right)) is not None:
            yield candidate, result


def first(found):
    (finding,) = found.findings
    return finding
