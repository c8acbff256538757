"""The oracle of `verify` against the specification, which the naive backend is."""

from fractions import Fraction

import convback_naive
import numpy as np
import pytest
from convback_tools import suites
from convback_tools.verification import challenges, oracle
from convback_tools.verification.challenges import Exact, Rounding
from convback_tools.verification.question import ESCAPE, EXACT_LIMIT, Question, draws_needed

from convback import ConvGeometry

FULL = [case for case in suites.suite("full") if case.geom.macs < 15_000]


def ask(question, seed=0):
    rng = np.random.default_rng(seed)
    return tuple(rng.integers(-50, 51, shape).astype(float) for shape in question.operand_shapes)


def by_naive(question, operands):
    out = np.full(question.result_shape, np.nan)
    if question.op == "db":
        convback_naive.db(*operands, out)
    else:
        getattr(convback_naive, question.op)(*operands, question.geom, out)
    return out


def by_oracle(question, operands, dtype=float):
    return oracle.gradient(question.op, question.layer, *(*operands, None)[:2], dtype)


@pytest.mark.parametrize("case", FULL[:: len(FULL) // 60], ids=lambda case: case.name)
def test_equals_naive(case, op):
    question = Question(op, case.geom, np.dtype("f8"), 0)
    operands = ask(question)
    expected = by_naive(question, operands)
    assert np.array_equal(by_oracle(question, operands), expected)
    assert np.array_equal(by_oracle(question, operands, np.longdouble), expected)


def test_terms_are_what_ones_count(case, op):
    question = Question(op, case.geom, np.dtype("f8"), 0)
    ones = tuple(np.ones(shape) for shape in question.operand_shapes)
    assert np.array_equal(np.broadcast_to(question.terms, question.result_shape), by_oracle(question, ones))


def test_samples_are_the_elements(case, op):
    question = Question(op, case.geom, np.dtype("f8"), 0)
    if 0 in question.result_shape:
        pytest.skip("there is no element")
    operands = ask(question)
    where = np.array(list(np.ndindex(question.result_shape)))[::7]
    sample = oracle.sample(op, question.layer, *(*operands, None)[:2], where)
    assert np.array_equal(sample.values, by_oracle(question, operands)[sample.where])
    magnitudes = by_oracle(question, tuple(map(np.abs, operands)))
    assert np.array_equal(sample.magnitudes, magnitudes[sample.where])


def test_sums_of_exact_products_are_exact():
    rng = np.random.default_rng(4)
    geom = ConvGeometry((2, 3, 9), (2, 3, 4))
    dy, x = (rng.standard_normal(shape) * 10.0 ** rng.integers(-9, 9, shape) for shape in (geom.y_shape, geom.x_shape))
    sample = oracle.sample("dw", geom, dy, x, np.array([[1, 2, 3]]))
    exact = sum(Fraction(dy[n, 1, j]) * Fraction(x[n, 2, j + 3]) for n in range(2) for j in range(6))
    assert sample.values[0] == float(exact)


def test_integers_respect_the_premise(case, op, dtype):
    question = Question(op, case.geom, dtype, 0)
    needed = draws_needed(question.escape)
    assert question.escape**needed <= ESCAPE
    assert needed == 1 or question.escape ** (needed - 1) > ESCAPE
    for number in range(2):
        magnitudes = by_oracle(question, tuple(map(np.abs, Exact(question, number).operands)))
        assert magnitudes.max(initial=0) <= EXACT_LIMIT[dtype.name]


def test_a_broken_premise_is_noticed(monkeypatch):
    question = Question("dw", ConvGeometry((2, 3, 9), (2, 3, 4)), np.dtype("f4"), 0)
    monkeypatch.setattr(Question, "integer_bound", 2**12)
    with pytest.raises(AssertionError, match="beyond 16777216"):
        Exact(question)


def test_the_same_question_has_the_same_numbers():
    question = Question("dw", ConvGeometry((2, 3, 9), (2, 3, 4)), np.dtype("f4"), 5)
    first, second = (Rounding(question).operands for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    other = Question("dw", question.geom, question.dtype, 6)
    assert not np.array_equal(Rounding(other).operands[0], first[0])


def test_bound_holds_for_sums_in_any_order_and_is_not_loose(dtype):
    """Sums in random orders stay within it, and it is not twice what theory gives."""
    question = Question("dw", ConvGeometry((1, 1, 5000), (1, 1, 1)), dtype, 0)
    challenge = Rounding(question)
    allowed = challenge.allowed_error().item()
    dy, x = (operand.ravel() for operand in challenge.operands)
    rng = np.random.default_rng(5)
    for _ in range(10):
        order = rng.permutation(dy.size)
        total = np.cumsum(dy[order] * x[order], dtype=dtype)[-1]
        assert abs(total - challenge.expected.item()) <= allowed
    magnitude = float(np.abs(dy.astype("f8") * x).sum())
    assert allowed < 2 * 5000 * np.finfo(dtype).epsneg * magnitude


def test_what_overflows_has_no_bound():
    assert challenges.gamma(np.array([2**24, 2**24 - 1]), 2.0**-24)[0] == np.inf
