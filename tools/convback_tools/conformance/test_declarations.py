"""What it declares besides its functions is true: `info`, `chosen` and `error_bound`."""

from __future__ import annotations

import numpy as np
import pytest

import convback
from convback import contract
from convback_tools.conformance.claims import Claim
from convback_tools.conformance.verdicts import Example
from convback_tools.verification.respondent import Respondent, fingerprint


def test_info_is_a_dictionary_of_short_strings(respondent: Respondent) -> None:
    if not hasattr(respondent.backend, "info"):
        pytest.skip(f"{respondent.name}: it has no info")
    info = respondent.backend.info()
    assert isinstance(info, dict), f"info returned {info!r}; expected a dictionary"
    for entry in info.items():
        assert all(isinstance(text, str) and text and "\n" not in text for text in entry), f"info has the entry {entry}"


def test_chosen_names_another_backend_that_supports_this(relayed: Claim) -> None:
    question = relayed.question
    name = relayed.respondent.backend.chosen(question.op, question.layer, question.dtype)
    assert name in convback.backends(), f"chosen returned {name!r}; expected one of {convback.backends()}"
    assert name != relayed.respondent.name, "chosen names the backend itself"
    assert contract.refusal(convback.get_backend(name), question.op, question.layer, question.dtype) is None


def test_its_error_bound_is_finite_and_holds(bounded: Claim) -> None:
    operands = bounded.operands()
    before = list(map(fingerprint, operands))
    example = Example(bounded, operands)
    assert list(map(fingerprint, operands)) == before, "error_bound changes its operands"
    assert np.isfinite(example.allowed).all(), "error_bound is not finite"
    example.check(bounded.answer(operands), "on integers")
