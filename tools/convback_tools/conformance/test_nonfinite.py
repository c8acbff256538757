"""NaN and infinity: every result that sums one is not finite, and results of other images and groups are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from convback.contract import Array
from convback_tools.conformance.claims import Claim
from convback_tools.verification import oracle
from convback_tools.verification.challenges import pair
from convback_tools.verification.question import Question
from convback_tools.verification.restated import ROLES, grouped


@dataclass(frozen=True)
class Spoilt:
    """A question with one number that is not finite, at a place of one of its operands."""

    question: Question
    operands: tuple[Array, ...]
    number: int
    place: tuple[int, ...]

    @property
    def told(self) -> str:
        name = self.question.operand_names[self.number]
        return f"{self.operands[self.number][self.place]} at {name}{list(self.place)}"

    @property
    def sums_it(self) -> NDArray[np.bool_]:
        """The results with a product of it among their terms."""
        marks = [np.ones(a.shape) for a in self.operands]
        marks[self.number][...] = 0
        marks[self.number][self.place] = 1
        return oracle.gradient(self.question.op, self.question.layer, *pair(tuple(marks))) > 0

    @property
    def is_near(self) -> NDArray[np.bool_]:
        """The results of its image and group; those of db, of its filter."""
        g, op, role = self.question.geom, self.question.op, ROLES[self.question.operand_names[self.number]]
        near = np.zeros(self.question.result_shape, bool)
        first, second = self.place[:2]
        if op == "db":
            near[second] = True
            return near
        image = slice(None) if role == "w" else first
        channel, channels = (first, g.F) if role == "w" else (second, self.operands[self.number].shape[1])
        group: Any = channel * g.groups // channels
        grouped(near, g, ROLES[op])[group if op == "dw" else (image, group)] = True
        return near


def spoilt(claim: Claim, *values: float) -> Iterator[Spoilt]:
    rng = claim.question.generator("spoilt")
    for number in range(len(claim.question.operand_names)):
        for value in values:
            operands = claim.operands()
            place = tuple(map(int, rng.integers(0, operands[number].shape)))
            operands[number][place] = value
            yield Spoilt(claim.question, operands, number, place)


def is_finite(claim: Claim, case: Spoilt) -> NDArray[np.bool_]:
    """Where the answer is finite."""
    with np.errstate(all="ignore"):
        return np.isfinite(claim.answer(case.operands))


def test_they_are_not_lost(computed: Claim) -> None:
    for case in spoilt(computed, np.nan, np.inf):
        lost = np.argwhere(case.sums_it & is_finite(computed, case)).tolist()
        assert not lost, f"{case.told} is lost: {computed.question.op}{lost[0]} is finite"


def test_they_reach_no_other_image_and_no_other_group(computed: Claim, waived: tuple[str, ...]) -> None:
    if "nan-leak" in waived:
        pytest.skip("--convback-allow nan-leak")
    for case in spoilt(computed, np.nan):
        reached = np.argwhere(~case.is_near & ~is_finite(computed, case)).tolist()
        assert not reached, f"{case.told} reaches {computed.question.op}{reached[0]}, of another image or group"
