"""What it does not support is refused in its own words, before anything is written."""

from __future__ import annotations

import numpy as np
import pytest

from convback import UnsupportedProblem
from convback_tools.conformance.claims import Claim
from convback_tools.verification.respondent import ask, fingerprint


def test_what_it_refuses_is_left_alone(refused: Claim) -> None:
    question, operands = refused.question, refused.operands()
    out = np.full(question.result_shape, np.nan, question.dtype)
    before = [fingerprint(a) for a in (*operands, out)]
    with pytest.raises(UnsupportedProblem) as caught:
        ask(question, operands, refused.respondent.name, out)
    assert caught.value.reason == refused.refusal
    assert [fingerprint(a) for a in (*operands, out)] == before
