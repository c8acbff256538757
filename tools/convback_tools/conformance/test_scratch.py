"""Scratch memory of `convback.workspace`: within its limit, and taken as it comes, with anything in it."""

from __future__ import annotations

import pytest

from convback import UnsupportedProblem, workspace
from convback_tools.conformance.claims import Claim
from convback_tools.conformance.guarded import FILLING
from convback_tools.conformance.verdicts import Example
from convback_tools.verification.respondent import Fault

LITTLE = 4096


def test_what_was_in_its_scratch_memory_does_not_matter(computed: Claim) -> None:
    example = Example(computed, computed.operands())
    workspace.reset_high_water()
    computed.answer(example.operands)
    workspace.take(workspace.high_water())[...] = FILLING
    example.check(computed.answer(example.operands), "with NaN in its scratch memory")


def test_little_scratch_memory_is_enough_or_an_error(busy: Claim, monkeypatch: pytest.MonkeyPatch) -> None:
    example = Example(busy, busy.operands())
    monkeypatch.setattr(workspace, "limit", lambda: LITTLE)
    try:
        got = busy.answer(example.operands)
    except Fault as fault:
        if not isinstance(fault.__cause__, UnsupportedProblem):
            raise
        return  # `workspace.take` has said how much it needs
    example.check(got, f"with {LITTLE} bytes of scratch memory")
