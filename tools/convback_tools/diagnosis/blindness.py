"""Which mistakes a case cannot show: they leave its right results as they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from convback import ConvGeometry
from convback_tools.diagnosis.candidates import Candidate
from convback_tools.diagnosis.catalogue import candidates
from convback_tools.diagnosis.task import Task, task
from convback_tools.submission import RESULTS, Submission, on_integers


class Sight(NamedTuple):
    """Whether a case shows a mistake in a result."""

    op: str
    candidate: Candidate
    seen: bool


def of_case(geom: ConvGeometry, ops: Sequence[str] = RESULTS) -> Iterator[Sight]:
    """Every mistake that can be made at all, on integers."""
    return of_submission(on_integers(geom), ops)


def of_submission(given: Submission, ops: Sequence[str] = RESULTS) -> Iterator[Sight]:
    """The same on the operands of a submission; without dy, of y alone."""
    for op in ops:
        if op == "y" or given.dy is not None:
            right = task(given, op)
            yield from (Sight(op, candidate, sees(right, candidate)) for candidate in candidates(op, given.geom.rank))


def sees(right: Task, candidate: Candidate) -> bool:
    """Whether the mistake changes the result, in its shape or in a number."""
    wrong = candidate.result(right)
    if wrong is None:
        return False
    if candidate.added:
        return bool(wrong.any())
    expected = right.result()
    return wrong.shape != expected.shape or not np.allclose(wrong, expected, rtol=1e-9, atol=0)


def blind_note(given: Submission, ops: Sequence[str]) -> list[str]:
    """What a right answer on this case leaves open."""
    sights = list(of_submission(given, ops))
    unseen = dict.fromkeys(sight.candidate.id for sight in sights if not sight.seen)
    if not unseen:
        return []
    blind = sum(not sight.seen for sight in sights)
    return [
        f"This case cannot show {blind} of {len(sights)} ways to be wrong ({', '.join(unseen)}); "
        "`convback case` finds cases that can."
    ]
