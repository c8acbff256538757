"""The adjoint tier: right answers satisfy the identities, any single wrong element breaks them."""

import numpy as np
import pytest
from convback_tools import suites
from convback_tools.suites import Case
from convback_tools.verification import adjoint, oracle
from convback_tools.verification.adjoint import Adjoint, Probe
from convback_tools.verification.question import Question
from convback_tools.verification.tasks import Settings, examinations
from convback_tools.verification.verify import verify

import convback
from convback import ConvGeometry

GRADIENTS = ("y", "dx", "dw")
LAYERS = [case.geom for case in suites.suite("full") if case.geom.macs < 3_000_000 and not case.geom.is_empty]
LAYER = ConvGeometry((3, 4, 10, 12), (6, 2, 3, 2), (2, 3), ((1, 2), (0, 1)), (1, 2), 2)


def right_answer(challenge):
    question = challenge.question
    return oracle.gradient(question.op, question.geom, *challenge.operands).astype(question.dtype)


@pytest.mark.parametrize("op", GRADIENTS)
@pytest.mark.parametrize("geom", LAYERS[::4], ids=str)
def test_right_answers_pass_and_one_wrong_element_does_not(geom, op, dtype):
    rng = np.random.default_rng(0)
    challenge = Adjoint(Question(op, geom, dtype, 1))
    answer = right_answer(challenge)
    assert not challenge.judge(answer, None).fault
    for change in (1, -1, 2.0**22):
        wrong = answer.copy()
        wrong.flat[rng.integers(wrong.size)] += change
        assert challenge.judge(wrong, None).fault


@pytest.mark.parametrize("op", GRADIENTS)
def test_both_sides_are_the_trilinear_form(op):
    """With all axes of the probe weighted: T as the sum over each product of three numbers and the vectors."""
    question = Question(op, LAYER, np.dtype("f8"), 2)
    challenge = Adjoint(question)
    probe = Probe(question, np.random.default_rng(3))
    answer = right_answer(challenge)
    expected = 0
    for index in np.ndindex(answer.shape):
        first, second, *place = index
        if op == "dw":  # the channel of the whole x, not of the group
            second += first // (LAYER.F // LAYER.groups) * (LAYER.C // LAYER.groups)
        weights = [probe.first[first], probe.second[second], *(v[i] for v, i in zip(probe.spatial, place, strict=True))]
        term = int(answer[index])
        for weight in weights:
            term *= int(weight)
        expected += term
    assert probe.of_answer(answer) == expected % probe.q
    assert probe.of_operands(*challenge.operands) == expected % probe.q


def test_sums_longer_than_a_block_are_exact(monkeypatch, dtype):
    geom = ConvGeometry((1, 2, 20_001), (3, 2, 5), 2, ((3, 1),), 3)
    for op in GRADIENTS:
        assert (
            not Adjoint(Question(op, geom, dtype)).judge(right_answer(Adjoint(Question(op, geom, dtype))), None).fault
        )
    monkeypatch.setattr(adjoint, "BLOCK", 64)
    monkeypatch.setattr(adjoint, "LONGEST_SUM", {"float32": 16, "float64": 16})
    for op in GRADIENTS:
        assert (
            not Adjoint(Question(op, LAYER, dtype)).judge(right_answer(Adjoint(Question(op, LAYER, dtype))), None).fault
        )


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.5, 2.0**60])
def test_what_is_no_possible_sum_is_named(value, dtype):
    challenge = Adjoint(Question("dx", LAYER, dtype))
    answer = right_answer(challenge)
    answer[1, 2, 3, 4] = value
    assert "element (1, 2, 3, 4) is" in challenge.judge(answer, None).fault


def test_a_wrong_element_is_named_where_it_is_among_some_that_are_computed():
    challenge = Adjoint(Question("dw", LAYER, np.dtype("f4")))
    finding = challenge.judge(right_answer(challenge) + np.float32(1), None)
    assert finding.got == finding.expected + 1
    assert finding.worst_index


def test_the_probability_counts_operands_and_probes():
    question = Question("dx", LAYER, np.dtype("f8"))
    assert question.escape < adjoint.escape(question) < question.escape + 2**-27
    primes = adjoint._primes()
    assert primes.min() > adjoint.PRIMES_FROM and primes.max() < adjoint.PRIMES_TO
    assert all(p % n for p in primes[::999].tolist() for n in range(2, 1024))


def test_large_cases_are_decided_by_it(own_backend):
    """A layer whose oracle is declared too large; a missing product is found."""
    case, settings = Case("large", LAYER), Settings(ops=GRADIENTS, max_macs=1)
    rows = list(verify(examinations([case], settings), [own_backend], settings))
    if {row.status for row in rows} == {"unsupported"}:
        pytest.skip(rows[0].reason)
    assert {(row.tier, row.status) for row in rows} == {("adjoint", "passed")}


def test_a_wrong_backend_is_found_by_it(command):
    line = ("verify", "-b", "liar", "--tier", "adjoint", "--suite", "seed", "--format", "json")
    rows = command(*line, plugins=["liar"]).json["rows"]
    assert {row["op"]: row["status"] for row in rows} == {"y": "passed", "dx": "passed", "dw": "failed"}
    assert all("adjoint identity" in row["reason"] for row in rows if row["op"] == "dw")


def test_it_takes_no_more_memory_than_blocks(monkeypatch):
    """Operands and the answer aside: so that what fits in memory can be verified."""
    import tracemalloc

    geom = ConvGeometry((2, 16, 400, 500), (16, 1, 3, 3), 1, 1, 1, 16)
    question = Question("dx", geom, np.dtype("f4"))
    challenge = Adjoint(question)
    answer = convback.dx(*challenge.operands, geom.x_shape, padding=1, groups=16)
    tracemalloc.start()
    assert not challenge.judge(answer, None).fault
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 48 * adjoint.BLOCK
