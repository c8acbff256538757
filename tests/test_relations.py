"""Metamorphic relations: all hold for what is right, and each one is broken by a mistake that it is there for."""

from types import SimpleNamespace

import numpy as np
import pytest
from convback_tools import suites
from convback_tools.verification import oracle
from convback_tools.verification.question import Question
from convback_tools.verification.relations import Relations, relations
from convback_tools.verification.tasks import Settings, examinations
from convback_tools.verification.verify import verify

import convback
from convback import ConvGeometry

ROW = ConvGeometry((3, 4, 10), (6, 2, 3), 2, ((1, 2),), 2, 2)
LAYER = ConvGeometry((3, 4, 10, 12), (6, 2, 3, 2), (2, 3), ((1, 2), (0, 1)), (1, 2), 2)
POINTWISE = ConvGeometry((2, 6, 4, 5), (4, 3, 1, 1), groups=2)
NAMES = {
    "scaled by powers of two", "on 1, 2, 3 and 7 threads", "float32 = float64", "batch split",
    "1x1 = matrix product", "batch permuted", "channels permuted", "filters permuted", "groups permuted",
    "groups = block-diagonal dense", "everything flipped", "everything transposed", "stride = zeros in dy",
    "dilation = zeros in w", "padding = zeros around x", "one more axis",
}  # fmt: skip


def answer_of_oracle(question, operands):
    return oracle.gradient(question.op, question.layer, *(*operands, None)[:2]).astype(question.dtype)


def respondent(answer=answer_of_oracle):
    """Answers by a function, supports everything, sums products."""
    return SimpleNamespace(answer=answer, refusal=lambda question: "", error_bound=lambda question, operands: None)


def finding(op, geom, answer=answer_of_oracle):
    question = Question(op, geom, np.dtype("f4"))
    challenge = Relations(question)
    return challenge.judge(answer(question, challenge.operands), respondent(answer))


def test_all_hold_for_every_backend(own_backend, case, op, dtype):
    settings = Settings(ops=(op,), dtypes=(dtype.name,), tiers=("relations",))
    for row in verify(examinations([case], settings), [own_backend], settings):
        if row.status == "unsupported":
            pytest.skip(row.reason)
        assert row.status == "passed", row


def test_all_hold_for_the_oracle(op):
    for case in suites.suite("full"):
        if case.geom.macs < 100_000 and not case.geom.is_empty:
            assert not finding(op, case.geom).fault


def test_together_the_layers_here_have_every_relation():
    found = {r.name for geom in (ROW, LAYER, POINTWISE) for r in relations(Question("dx", geom, np.dtype("f4")))}
    assert found == NAMES


def test_a_related_problem_that_is_not_supported_is_left_out():
    question = Question("dx", LAYER, np.dtype("f4"))
    challenge = Relations(question)
    by = respondent()
    by.refusal = lambda other: "only this" if other.geom != LAYER or other.dtype != question.dtype else ""
    assert not challenge.judge(answer_of_oracle(question, challenge.operands), by).fault


def test_a_related_problem_out_of_all_proportion_is_left_out():
    far = ConvGeometry((1, 1, 9), (1, 1, 3), 1, ((10**6, 0),), 4)
    assert "padding = zeros around x" in {r.name for r in relations(Question("dx", far, np.dtype("f4")))}
    huge = ConvGeometry((1, 1, 2, 2), (1, 1, 2, 2), 1, ((0, 2**40), (0, 0)), (2**40, 1))
    assert "dilation = zeros in w" not in {r.name for r in relations(Question("dx", huge, np.dtype("f4")))}


# Mistakes that depend on something a relation takes away: each must break that relation.


def when(condition, wrong):
    """Right answers, but for questions of a kind."""

    def answer(question, operands):
        right = answer_of_oracle(question, operands)
        return wrong(right, question, operands) if condition(question.geom) else right

    return answer


def off(right, question, operands):
    return right + 1


def reversed_batch(right, question, operands):
    return right[::-1].copy() if question.op != "dw" else off(right, question, operands)


MISTAKES = {
    "scaled by powers of two": (LAYER, lambda question, operands: answer_of_oracle(question, operands) + 1),
    "batch split": (POINTWISE, when(lambda g: g.N == 2, off)),
    "float32 = float64": (
        LAYER,
        lambda question, operands: answer_of_oracle(question, operands) + (question.dtype == np.float64),
    ),
    "1x1 = matrix product": (POINTWISE, lambda question, operands: 2 * answer_of_oracle(question, operands)),
    "groups = block-diagonal dense": (LAYER, when(lambda g: g.groups > 1, lambda a, q, o: 2 * a)),
    "stride = zeros in dy": (LAYER, when(lambda g: max(g.stride) > 1, lambda a, q, o: 2 * a)),
    "dilation = zeros in w": (LAYER, when(lambda g: max(g.dilation) > 1, lambda a, q, o: 2 * a)),
    "padding = zeros around x": (LAYER, when(lambda g: np.any(g.padding), lambda a, q, o: 2 * a)),
    "everything transposed": (LAYER, when(lambda g: g.kernel[0] > g.kernel[-1], lambda a, q, o: 2 * a)),
    "everything flipped": (LAYER, when(lambda g: g.padding[0][0] < g.padding[0][1], lambda a, q, o: 2 * a)),
    "one more axis": (ROW, when(lambda g: g.rank == 1, lambda a, q, o: 2 * a)),
    "batch permuted": (LAYER, lambda q, o: first_doubled(answer_of_oracle(q, o), 0)),
    "filters permuted": (LAYER, lambda q, o: first_doubled(answer_of_oracle(q, o), 1 if q.op == "y" else 0)),
    "channels permuted": (LAYER, lambda q, o: first_doubled(answer_of_oracle(q, o), 1)),
}


def first_doubled(a, axis):
    first = (*(slice(None),) * axis, 0)
    a[first] *= 2
    return a


@pytest.mark.parametrize("name", MISTAKES)
def test_each_is_broken_by_a_mistake(name):
    geom, answer = MISTAKES[name]
    for op in {"batch permuted": ("dx", "y"), "channels permuted": ("dx", "dw"), "filters permuted": ("y", "dw")}.get(
        name, ("y", "dx", "dw")
    ):
        question = Question(op, geom, np.dtype("f4"))
        operands = Relations(question).operands
        (relation,) = [r for r in relations(question) if r.name == name]
        assert not np.array_equal(relation.related(question, operands, answer), answer(question, operands)), op
        assert "relation '" in finding(op, geom, answer).fault


@pytest.mark.parametrize("now", [1, 2])
@pytest.mark.parametrize("wrong", [1, 2, 3, 7])
def test_a_mistake_on_some_number_of_threads_is_found(monkeypatch, now, wrong):
    monkeypatch.setattr("convback.threads._chosen", now)

    def answer(question, operands):
        return answer_of_oracle(question, operands) + (convback.get_num_threads() == wrong)

    question = Question("dx", LAYER, np.dtype("f4"))
    operands = Relations(question).operands
    (relation,) = [r for r in relations(question) if r.name == "on 1, 2, 3 and 7 threads"]
    assert not np.array_equal(relation.related(question, operands, answer), answer(question, operands))
    assert "relation '" in finding("dx", LAYER, answer).fault


def test_the_command_has_them_as_a_tier(command):
    line = ("verify", "-b", "naive", "-b", "einsum", "--suite", "seed", "--format", "json")
    tiers = {row["tier"] for row in command(*line, "--relations").json["rows"]}
    assert tiers == {"exact", "rounding", "relations"}
    rows = command(*line, "--tier", "relations").json["rows"]
    assert {(row["tier"], row["status"]) for row in rows} == {("relations", "passed")}
