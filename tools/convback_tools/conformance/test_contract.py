"""It is a backend, and says plainly what it supports."""

from __future__ import annotations

from dataclasses import replace

import pytest

from convback.contract import OPS
from convback_tools.conformance import claims, state
from convback_tools.conformance.claims import Layer
from convback_tools.verification.respondent import Respondent
from convback_tools.verification.restated import changed


def test_it_satisfies_the_contract(objection: str, is_named: bool) -> None:
    if objection and not is_named:
        pytest.skip(objection)
    if objection:
        pytest.fail(objection, pytrace=False)


def test_supports_is_plain_and_changes_nothing(layer: Layer) -> None:
    before = state.snapshot()
    for geom in (layer.case.geom, changed(layer.case.geom)):  # an equal one may be another object
        for op in OPS:
            question = replace(layer.question(op), geom=geom)
            assert layer.respondent.refusal(question) == layer.claims[op].refusal, f"supports({op!r}, {geom}, ...)"
    assert state.changes(before, state.snapshot()) == []


def test_it_supports_a_gradient(respondent: Respondent, words: tuple[str, ...]) -> None:
    if not any(claim.question.op != "y" for claim in claims.computed(respondent.name, words)):
        refusals = {claim.refusal for claim in claims.refused(respondent.name, words) if claim.question.op != "y"}
        pytest.fail(
            f"it supports no gradient of any of the kit's cases ({'; '.join(sorted(refusals))}), so nothing is proven. "
            "If it is made for special layers, name one with --convback-case",
            pytrace=False,
        )
