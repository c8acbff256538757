"""Several gradients at once are the same as one by one."""

from __future__ import annotations

from itertools import chain, combinations

import numpy as np
import pytest

import convback
from convback import Gradients, UnsupportedProblem
from convback_tools.conformance.claims import Layer
from convback_tools.conformance.guarded import Guarded, assert_untouched
from convback_tools.conformance.verdicts import Example

GRADIENTS = ("dx", "dw", "db")
NEEDS = list(chain.from_iterable(combinations(GRADIENTS, n) for n in (1, 2, 3)))


def test_backward_gives_every_subset_of_the_gradients(layer: Layer) -> None:
    arrays = layer.integers()
    examples = {
        op: Example(claim, claim.pick(arrays))
        for op, claim in layer.claims.items()
        if op in GRADIENTS and not claim.refusal
    }
    for need in NEEDS:
        held = {name: Guarded.copy(a) for name, a in arrays.items()}
        outs = {op: Guarded(layer.question(op).result_shape, np.dtype(layer.dtype)) for op in need}
        if refusals := [layer.claims[op].refusal for op in need if op not in examples]:
            with pytest.raises(UnsupportedProblem) as caught:
                backward(layer, need, held, outs)
            assert caught.value.reason in refusals
            assert all(np.isnan(out.array).all() for out in outs.values()), f"need={need} is refused, and out written"
        else:
            results = backward(layer, need, held, outs)
            assert [op for op in GRADIENTS if getattr(results, op) is not None] == list(need)
            for op in need:
                examples[op].check(getattr(results, op), f"backward with need={need}")
        assert_untouched(held, arrays, outs)


def backward(layer: Layer, need: tuple[str, ...], held: dict[str, Guarded], outs: dict[str, Guarded]) -> Gradients:
    g = layer.case.geom
    dy, x, w = (held[name].array for name in ("dy", "x", "w"))
    return convback.backward(
        dy, x, w, stride=g.stride, padding=g.padding, dilation=g.dilation, groups=g.groups, need=need,
        backend=layer.respondent.name, out=Gradients(**{op: guarded.array for op, guarded in outs.items()}),
    )  # fmt: skip
