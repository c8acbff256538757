"""What it says it supports is right, in every tier of `convback verify`."""

from __future__ import annotations

from convback_tools.conformance.claims import Claim
from convback_tools.conformance.verdicts import assert_verified


def test_what_it_supports_is_right(taken: Claim) -> None:
    assert_verified(taken)


def test_the_adjoint_identities_hold(summed: Claim) -> None:
    assert_verified(summed, "adjoint")


def test_answers_to_related_problems_agree(computed: Claim) -> None:
    assert_verified(computed, "relations")
