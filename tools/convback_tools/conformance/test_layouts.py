"""Operands and `out` may lie in memory anyhow; `out` is overwritten and not read, and nothing else is written."""

from __future__ import annotations

import numpy as np
import pytest

from convback_tools.conformance.claims import Claim
from convback_tools.conformance.layouts import LAYOUTS, READABLE, memory, unwritten, written_between
from convback_tools.conformance.verdicts import Example
from convback_tools.verification.respondent import ask


@pytest.mark.parametrize("layout", READABLE)
def test_operands_may_lie_anyhow(sample: Claim, layout: str) -> None:
    operands = tuple(READABLE[layout](a) for a in sample.operands())
    plain = tuple(np.array(a, sample.question.dtype, order="C") for a in operands)
    before = [memory(a).tobytes() for a in operands]
    got = ask(sample.question, operands, sample.respondent.name)
    assert [memory(a).tobytes() for a in operands] == before, "it changes its operands"
    Example(sample, plain).check(got, f"operands that are {layout}")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_out_may_lie_anyhow(sample: Claim, layout: str) -> None:
    question, operands = sample.question, sample.operands()
    out = unwritten(LAYOUTS[layout], np.empty(question.result_shape, question.dtype))
    assert ask(question, operands, sample.respondent.name, out) is out
    Example(sample, operands).check(np.array(out, question.dtype), f"an out that is {layout}")
    assert not written_between(out), "it writes between the elements of out"
