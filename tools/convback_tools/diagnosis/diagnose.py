"""Names the mistake in a wrong gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from convback.contract import Array
from convback_tools.checking.judgement import Judge
from convback_tools.checking.precision import making, standard
from convback_tools.diagnosis import special
from convback_tools.diagnosis.blindness import blind_note
from convback_tools.diagnosis.catalogue import CATALOGUE, RIGHT, SCATTER
from convback_tools.diagnosis.explanations import Comparison, Explanation, pairs, single
from convback_tools.diagnosis.findings import UNKNOWN, Alternative, Diagnosis, Finding
from convback_tools.diagnosis.task import task
from convback_tools.diagnosis.telling import tells_apart
from convback_tools.submission import MODES, RESULTS, Submission, submission
from convback_tools.verification.question import Question

NEAREST = 3  # of the mistakes that come near an unknown one, so many are named,
NEAR = 0.9  # if they leave less than this of it unexplained

Progress = Callable[[str], None]


def diagnose(
    x: Array,
    w: Array,
    dy: Array | None = None,
    *,
    y: Array | None = None,
    dx: Array | None = None,
    dw: Array | None = None,
    db: Array | None = None,
    b: Array | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    mode: str = MODES[0],
    computed_in: str | None = None,
    digits: int | None = None,
    deep: bool = False,
) -> Diagnosis:
    """Say which mistake a gradient that somebody computed was made with.

    Parameters
    ----------
    x : ndarray, shape (N, C, *spatial)
    w : ndarray, shape (F, C/groups, *kernel)
    dy : ndarray, shape (N, F, *y_spatial), optional
        Gradient with respect to y; dx, dw and db follow from it.
    y, dx, dw, db : ndarray, optional
        What was computed, of any shape.
    b : ndarray, shape (F,), optional
    stride, padding, dilation, groups, mode
        Of the layer, as in `convback.conv`.
    computed_in : {"float16", "bfloat16", "float32", "float64"}, optional
        Default: the narrowest floating dtype of the arrays.
    digits : int, optional
        With how many significant digits the numbers were printed.
    deep : bool
        Try pairs of mistakes as well, where no single one explains a result.

    Returns
    -------
    Diagnosis
        With `findings`, one for each result that is wrong. A result is right if `convback check` says so.

    Raises
    ------
    ConvbackError
        If the operands and parameters do not make a layer.
    """
    named = {"x": x, "w": w, "dy": dy, "b": b, "y": y, "dx": dx, "dw": dw, "db": db}
    members = {name: value for name, value in named.items() if value is not None}
    parameters = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "mode": mode}
    return diagnosis(submission(members, **parameters), Judge(computed_in, digits), deep)


def diagnosis(given: Submission, judge: Judge, deep: bool = False, advance: Progress = lambda _: None) -> Diagnosis:
    """The same of a submission."""
    verdicts = judge.rows(given, "")
    wrong = [str(row.array) for row in verdicts if row.status == "failed"]
    with np.errstate(all="ignore"):
        comparisons = {op: _comparison(given, op, judge) for op in wrong}
        explained = {op: _explanations(comparison, deep, advance) for op, comparison in comparisons.items()}
        findings = [_finding(op, comparisons[op], explained) for op in wrong]
    if _is_of_other_mode(given, judge, wrong):
        findings = [_of_other_mode(finding) for finding in findings]
    errors = {op: c.error for op, c in comparisons.items() if c.is_comparable}
    return Diagnosis(tuple(findings), tuple(verdicts), tuple(_notes(given, verdicts, findings)), errors)


def _comparison(given: Submission, op: str, judge: Judge) -> Comparison:
    right = task(given, op)
    shape = Question(op, given.geom, np.dtype("float64")).result_shape
    got = given.results[op]
    of_right_shape = got if got.shape == shape else np.zeros(shape)
    fitting = replace(given, results={**given.results, op: of_right_shape})
    held = standard(fitting, op, making(given, op, judge.computed_in, judge.digits))
    return Comparison(got, right, held, given.correlated if op == "dw" else lambda result: result)


def _explanations(comparison: Comparison, deep: bool, advance: Progress) -> list[Explanation]:
    """All that fit, the best first; else those that come near."""
    found = [e for e in (special.factor(comparison), *single(comparison)) if e is not None]
    if not any(e.fits for e in found):
        found += filter(None, [special.finite_difference(comparison) or special.low_precision(comparison)])
    if deep and not any(e.fits for e in found):
        found += pairs(comparison, advance)
    found.sort(key=lambda e: e.rank)
    fitting = [e for e in found if e.fits and e.rank[:2] == found[0].rank[:2]]
    return fitting or [e for e in found if e.residual < NEAR][:NEAREST]


def _finding(op: str, comparison: Comparison, explained: dict[str, list[Explanation]]) -> Finding:
    found = explained[op]
    place = comparison.place
    if not found or not found[0].fits:
        near = tuple(Alternative(_id(e), f"{_what(e)}, which leaves {e.residual:.0%} unexplained", "") for e in found)
        what = "no mistake of the catalogue explains these numbers" if comparison.got.any() else "it is zero everywhere"
        fix = "Look where the errors are. Check the parameters of the layer; --deep tries pairs of mistakes."
        return Finding(UNKNOWN, op, "Not explained", what, None, None, "", RIGHT[op], fix, place, near)
    others = [e for name, of_other in explained.items() if name != op for e in of_other if e.fits]
    best, *rest = sorted(found, key=lambda e: (e.scale != 1, not _shares(e, others)))
    mistakes = [CATALOGUE[name] for name in dict.fromkeys(best.ids)]
    return Finding(
        _id(best),
        op,
        "; ".join(mistake.title for mistake in mistakes),
        _what(best),
        best.scale,
        best.residual,
        "; ".join(best.formula),
        RIGHT[op],
        " ".join(mistake.fix for mistake in mistakes),
        place,
        tuple(Alternative(_id(e), _what(e), tells_apart(op, best, e)) for e in rest),
    )


def _shares(explanation: Explanation, others: Iterable[Explanation]) -> bool:
    """Whether the same mistake explains another result as well."""
    return any(set(explanation.ids) & set(other.ids) for other in others)


def _id(explanation: Explanation) -> str:
    return " + ".join(explanation.ids)


def _what(explanation: Explanation) -> str:
    words = "; and ".join(explanation.what)
    is_factor = explanation.ids in (("any.sign",), ("any.mean_for_sum",))
    return words if explanation.scale == 1 or is_factor else f"{words}; times {explanation.scale:.6g}"


def _is_of_other_mode(given: Submission, judge: Judge, wrong: Sequence[str]) -> bool:
    """Whether y, or all of dx and dw, are those of the other mode: then that is what the layer is."""
    if not set(wrong) >= {"dx", "dw"} and not set(wrong) >= {"y", "dx"} and not set(wrong) >= {"y", "dw"}:
        return False
    other = replace(given, mode=next(mode for mode in MODES if mode != given.mode))
    return all(row.status == "passed" for row in judge.rows(other, "") if row.array in wrong)


def _of_other_mode(finding: Finding) -> Finding:
    mistake = CATALOGUE["any.convolution_forward"]
    ties = (Alternative(finding.id, finding.what, ""), *finding.ties)
    what = "this is the layer with the kernel rotated in the forward pass: all results agree on that"
    formula = "y, dx and dw with w[f,c,K-1-k] for w[f,c,k]"
    return replace(
        finding, id=mistake.id, title=mistake.title, what=what, formula=formula, fix=mistake.fix,
        ties=tuple(tie for tie in ties if tie.id != mistake.id),
    )  # fmt: skip


def _notes(given: Submission, verdicts: Sequence[Any], findings: Sequence[Finding]) -> list[str]:
    notes = [f"{row.array}: {row.reason}" for row in verdicts if row.status == "inconclusive"]
    g, found = given.geom, {finding.id for finding in findings}
    if "dx.channels_not_swapped" in found and g.C == g.F:
        notes.append(
            f"x has as many channels as there are filters, C = F = {g.C}, so that every shape fits and nothing fails: "
            "with another F this mistake would have shown at once."
        )
    passed = [str(row.array) for row in verdicts if row.status == "passed"]
    if "dx" in passed:
        notes.append(f"dx is right. {SCATTER}")
    if passed and not findings:
        notes += blind_note(given, [op for op in RESULTS if op in passed])
    return notes
