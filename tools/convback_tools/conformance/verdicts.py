"""What the tests assert of answers, with messages that say all one needs."""

from __future__ import annotations

import pytest

from convback.contract import Array
from convback_tools.conformance.claims import Claim
from convback_tools.verification import oracle
from convback_tools.verification.challenges import pair
from convback_tools.verification.findings import compare
from convback_tools.verification.presentation import told
from convback_tools.verification.tasks import Settings, examinations
from convback_tools.verification.verify import verify


def assert_verified(claim: Claim, *tiers: str) -> None:
    """`convback verify` passes the answer, in the tiers given or those that suit its size."""
    __tracebackhide__ = True
    question, name = claim.question, claim.respondent.name
    settings = Settings(ops=(question.op,), dtypes=(question.dtype.name,), tiers=tiers, patient=True)
    rows = list(verify(examinations([claim.case], settings), [name], settings))
    assert rows
    if wrong := [row for row in rows if row.status != "passed"]:
        pytest.fail("\n".join(map(told, wrong)), pytrace=False)


class Example:
    """Integers so small that every sum of them is exact, with the right answer.

    Attributes
    ----------
    operands : tuple of ndarray
    expected : ndarray of float64
    allowed : ndarray or float
        How far off an element may be: not at all, unless the backend declares an `error_bound`.
    """

    def __init__(self, claim: Claim, operands: tuple[Array, ...]) -> None:
        self.claim, self.operands = claim, operands
        self.expected = oracle.gradient(claim.question.op, claim.question.layer, *pair(operands))
        bound = claim.respondent.error_bound(claim.question, operands)
        self.allowed: Array | float = 0.0 if bound is None else bound

    def check(self, got: Array, what: str) -> None:
        """Fail unless the answer is right; `what` says how it came about."""
        __tracebackhide__ = True
        found = compare(got, self.expected, self.allowed)
        if found.fault:
            place = list(found.worst_index or ())
            pytest.fail(
                f"{self.claim}, {what}: {found.fault}\n"
                f"  worst at {self.claim.question.op}{place}: got {found.got!r}, expected {found.expected!r}",
                pytrace=False,
            )
