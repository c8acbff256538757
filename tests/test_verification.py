"""Verdicts: what is right passes, what is wrong does not, and a row says all one needs."""

import numpy as np
import pytest
from convback_tools.suites import Case
from convback_tools.verification import verify as module
from convback_tools.verification.rows import STATUSES, Row, exit_code, summary
from convback_tools.verification.verify import Settings, verify

import convback
from convback import ConvGeometry

LAYER = Case("layer", ConvGeometry((3, 4, 10, 12), (6, 2, 3, 2), (2, 3), ((1, 2), (0, 1)), (1, 2), 2))


@pytest.fixture
def tampered(monkeypatch):
    """Let every answer go through a function before it is judged."""

    def install(change):
        real = module.answer

        def answer(question, operands, backend, out):
            result = real(question, operands, backend, out)
            change(question, operands, out)
            return result

        monkeypatch.setattr(module, "answer", answer)

    return install


def rows(**settings):
    return list(verify([LAYER], ["naive"], Settings(**settings)))


def scaled(question, operands, out):
    out *= 1.001


def one_off(question, operands, out):
    out.flat[out.size // 2] += 1


def shifted(question, operands, out):
    out[...] = np.roll(out, 1, axis=-1)


def unwritten(question, operands, out):
    out.flat[-1] = np.nan


def changes_its_input(question, operands, out):
    operands[0].flat[0] += 1


@pytest.mark.parametrize("change", [scaled, one_off, shifted, unwritten, changes_its_input])
def test_wrong_answers_fail(tampered, change, op, dtype):
    tampered(change)
    (row,) = rows(ops=(op,), dtypes=(dtype.name,), tiers=("exact",))
    assert row.status == "failed"
    assert row.reason


def test_last_bits_do_not_fail_the_rounding_tier(tampered, dtype):
    tampered(lambda question, operands, out: np.nextafter(out, np.inf, out=out))
    (row,) = rows(ops=("db",), dtypes=(dtype.name,), tiers=("rounding",))  # its sums have many terms, all of them
    assert row.status == "passed"


def test_more_than_the_bound_fails_the_rounding_tier(tampered, dtype):
    tampered(lambda question, operands, out: np.multiply(out, 1 + 512 * np.finfo(out.dtype).eps, out=out))
    assert {row.status for row in rows(dtypes=(dtype.name,), tiers=("rounding",))} == {"failed"}


def test_a_row_says_where_and_how_to_repeat_it(tampered):
    tampered(one_off)
    (row,) = rows(ops=("dx",), dtypes=("float64",), tiers=("exact",), seed=3)
    assert row.got == row.expected + 1
    assert np.ravel_multi_index(row.worst_index, LAYER.geom.x_shape) == np.prod(LAYER.geom.x_shape) // 2
    assert row.repro == (
        f"convback verify -b naive --case '{LAYER.word}' --op dx --dtype float64 --tier exact --seed 3"
    )


def test_errors_are_rows(monkeypatch):
    def fail(*arguments):
        raise ZeroDivisionError("by groups")

    monkeypatch.setattr(module, "answer", fail)
    (row,) = rows(ops=("dx",), dtypes=("float64",), tiers=("exact",))
    assert (row.status, row.reason) == ("error", "ZeroDivisionError: by groups")


def test_what_cannot_be_decided_says_so():
    long = Case("long", ConvGeometry((1, 1, 2**24 + 1), (1, 1, 1)))
    (row,) = verify([long], ["einsum"], Settings(ops=("dw",), dtypes=("float32",), tiers=("exact",), max_memory=2**40))
    assert row.status == "inconclusive"
    assert "16777217 products exceed 16777216" in row.reason
    for limits, told in (({"max_macs": 10}, "--max-macs 10"), ({"max_memory": 10}, "--max-memory 10")):
        assert {(row.status, told in row.reason) for row in rows(**limits)} == {("inconclusive", True)}


def test_slow_backends_are_left_out_unless_named():
    large = Case("large", ConvGeometry((1, 8, 60, 60), (8, 8, 3, 3)))
    slow = [n for n in convback.backends() if hasattr(convback.registry._loaded(n), "PRACTICAL_MACS")]
    assert slow
    settings = Settings(ops=("dx",), dtypes=("float32",), tiers=("rounding",))
    assert {row.status for row in verify([large], slow, settings)} == {"unsupported"}


def test_a_method_with_its_own_error_model_is_held_to_the_rounding_tier(monkeypatch):
    backend = convback.get_backend("naive")
    monkeypatch.setattr(backend, "error_bound", lambda op, geom, a, b: None, raising=False)
    assert {row.tier for row in rows()} == {"rounding"}


def test_summary_counts_all():
    some = [Row("c", "dx", "b", "float32", "exact", status) for status in STATUSES for _ in range(2)]
    assert summary(some) == dict.fromkeys(STATUSES, 2)


@pytest.mark.parametrize(
    ("statuses", "named", "expected"),
    [
        (["passed"], [], 0),
        (["passed", "unsupported", "unavailable", "inconclusive"], [], 0),
        (["passed", "failed"], [], 1),
        (["passed", "error"], ["b"], 1),
        (["failed", "unavailable"], ["c"], 1),
        (["unavailable"], ["b"], 3),
        (["unsupported"], ["b"], 3),
        (["passed"], ["b", "c"], 3),
        (["inconclusive"], [], 4),
        (["inconclusive"], ["b"], 4),
        ([], [], 4),
    ],
)
def test_exit_codes(statuses, named, expected):
    assert exit_code([Row("c", "dx", "b", "float32", "exact", status) for status in statuses], named) == expected
