"""Its functions, called as the core calls them: every element of `out` is written, and no other byte.

These tests come first, and end the session where memory was overrun: anything may happen after that.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from convback_tools.conformance.claims import Claim
from convback_tools.conformance.guarded import Guarded, assert_untouched
from convback_tools.conformance.verdicts import Example


def test_its_functions_write_all_of_out_and_nothing_else(computed: Claim, request: pytest.FixtureRequest) -> None:
    question = computed.question
    function = getattr(computed.respondent.backend, question.op)
    layer = () if question.layer is None else (question.layer,)
    check(computed, lambda *arrays: function(*arrays[:-1], *layer, arrays[-1]), request.session)


def test_its_plans_write_all_of_out_and_nothing_else(planned: Claim, request: pytest.FixtureRequest) -> None:
    question = planned.question
    run = planned.respondent.backend.plan(question.op, question.geom, question.dtype)
    assert callable(run), f"plan returned {run!r}; expected a function run(a, b, out)"
    check(planned, run, request.session)


def check(claim: Claim, run: Callable[..., object], session: pytest.Session) -> None:
    """Twice, since a plan is used again, with other operands."""
    __tracebackhide__ = True
    for draw in range(2):
        example = Example(claim, claim.operands(draw))
        named = claim.named(example.operands)
        held = {name: Guarded.copy(a) for name, a in named.items()}
        out = Guarded(claim.question.result_shape, claim.question.dtype)
        run(*(guarded.array for guarded in held.values()), out.array)
        if any(guarded.overrun for guarded in (*held.values(), out)):
            session.shouldfail = f"{claim.respondent.name} writes beyond its arrays, which may end the process later"
        assert_untouched(held, named, {"out": out})
        example.check(out.array, f"called directly{' once more' * draw}")
