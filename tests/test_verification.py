"""Verdicts: what is right passes, what is wrong does not, and a row says all one needs."""

from pathlib import Path

import numpy as np
import pytest
from convback_tools.suites import Case
from convback_tools.verification import respondent
from convback_tools.verification.findings import compare
from convback_tools.verification.question import Question
from convback_tools.verification.rows import STATUSES, Row, exit_code, summary
from convback_tools.verification.tasks import Settings, examinations
from convback_tools.verification.verify import verify

import convback
from convback import ConvGeometry

LAYER = Case("layer", ConvGeometry((3, 4, 10, 12), (6, 2, 3, 2), (2, 3), ((1, 2), (0, 1)), (1, 2), 2))


@pytest.fixture
def tampered(monkeypatch):
    """Let every answer go through a function before it is judged."""

    def install(change):
        real = respondent.ask

        def ask(question, operands, backend, out):
            result = real(question, operands, backend, out)
            change(question, operands, out)
            return result

        monkeypatch.setattr(respondent, "ask", ask)

    return install


def rows(case=LAYER, backends=("naive",), **settings):
    settings = Settings(**settings)
    return list(verify(examinations([case], settings), backends, settings))


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

    monkeypatch.setattr(respondent, "ask", fail)
    (row,) = rows(ops=("dx",), dtypes=("float64",), tiers=("exact",))
    assert (row.status, row.reason) == ("error", "ZeroDivisionError: by groups")


def test_what_cannot_be_decided_says_so():
    long = Case("long", ConvGeometry((1, 1, 2**24 + 1), (1, 1, 1)))
    one = {"ops": ("dw",), "dtypes": ("float32",), "max_memory": 2**40, "backends": ("einsum",)}
    for tier in ("exact", "adjoint"):
        (row,) = rows(long, tiers=(tier,), **one)
        assert row.status == "inconclusive"
        assert "16777217 products exceed 16777216" in row.reason
    (row,) = rows(long, tiers=("rounding",), **one)
    assert (row.status, row.reason) == ("inconclusive", "the error bound of 1 of 1 elements overflows")
    assert {row.status for row in rows(max_memory=10)} == {"inconclusive"}
    assert {"--max-memory 10" in row.reason for row in rows(max_memory=10)} == {True}
    (row,) = rows(ops=("dx",), dtypes=("float32",), tiers=("exact",), max_macs=10)
    assert "are more than --max-macs 10" in row.reason


def test_an_error_beyond_a_bound_is_wrong_even_where_another_bound_overflows():
    got, expected = np.array([1.0, 2.0, 3.0]), np.array([1.0, 1.0, 1.0])
    undecided = compare(got, expected, np.array([0.0, np.inf, 5.0]))
    assert (undecided.fault, undecided.undecided) == ("", "the error bound of 1 of 3 elements overflows")
    wrong = compare(got, expected, np.array([0.0, np.inf, 0.0]))
    assert (wrong.fault, wrong.worst_index) == ("1 of 3 elements are wrong", (2,))
    assert compare(np.array([np.nan]), np.array([0.0]), np.array([1.0])).fault


def test_the_tier_suits_the_size():
    def tiers(**limits):
        return {(row.op, row.tier) for row in rows(dtypes=("float32",), **limits)}

    small = {(op, tier) for op in ("y", "dx", "dw", "db") for tier in ("exact", "rounding")}
    large = {("y", "adjoint"), ("dx", "adjoint"), ("dw", "adjoint"), ("db", "exact")}
    assert tiers() == small
    assert tiers(max_macs=10) == large
    assert tiers(max_memory=Question("y", LAYER.geom, np.dtype("f4")).bytes) >= large


def test_the_probability_is_below_the_promise_in_every_exact_tier(dtype):
    found = [*rows(dtypes=(dtype.name,)), *rows(dtypes=(dtype.name,), tiers=("adjoint",))]
    assert {row.tier for row in found} == {"exact", "rounding", "adjoint"}
    assert all(row.escape_probability <= 2**-40 for row in found if row.tier != "rounding")
    (row,) = rows(ops=("dx",), dtypes=(dtype.name,), tiers=("exact",), max_draws=1)
    assert 2**-40 < row.escape_probability == Question("dx", LAYER.geom, dtype).escape


def test_slow_backends_are_left_out_unless_named():
    large = Case("large", ConvGeometry((1, 8, 60, 60), (8, 8, 3, 3)))
    slow = [n for n in convback.backends() if hasattr(convback.registry._loaded(n), "PRACTICAL_MACS")]
    assert slow
    one = {"ops": ("dx",), "dtypes": ("float32",), "tiers": ("rounding",)}
    assert {row.status for row in rows(large, slow, **one)} == {"unsupported"}


def declare(monkeypatch, bound):
    monkeypatch.setattr(convback.get_backend("naive"), "error_bound", bound, raising=False)


def test_a_declared_error_model_is_what_a_backend_is_held_to(monkeypatch, tampered):
    one = {"ops": ("dx",), "dtypes": ("float32",)}
    declare(monkeypatch, lambda op, geom, a, b: np.full(geom.x_shape, 0.5))
    tampered(lambda question, operands, out: np.add(out, 0.25, out=out))
    (row,) = rows(**one)
    assert (row.tier, row.status) == ("gauge", "passed")
    assert 0.49 < row.error_over_bound < 0.51
    assert row.bound_over_gamma > 1000  # nobody hides behind a bound of his own
    tampered(lambda question, operands, out: np.add(out, 0.5, out=out))
    (row,) = rows(**one)
    assert (row.tier, row.status) == ("gauge", "failed")


@pytest.mark.parametrize(
    ("bound", "told"),
    [
        (lambda op, geom, a, b: np.zeros(3), "shape (3,); expected (3, 4, 10, 12)"),
        (lambda op, geom, a, b: -np.ones(geom.x_shape), "below zero"),
        (lambda op, geom, a, b: np.full(geom.x_shape, np.nan), "NaN"),
        (lambda op, geom, a, b: 1 // 0, "ZeroDivisionError"),
    ],
)
def test_an_error_model_must_make_sense(monkeypatch, bound, told):
    declare(monkeypatch, bound)
    (row,) = rows(ops=("dx",), dtypes=("float32",))
    assert row.status == "error"
    assert told in row.reason


def test_a_transform_is_held_to_its_gauge(command, write_plugin):
    line = ("verify", "-b", "transform", "--op", "y", "--op", "dx", "--relations", "--format", "json", "--quiet")
    cases = ("--case", "mb3ic16iw40oc8kw3", "--case", "ic5iw21oc4kw3pw1", "--case", "ic2iw9oc3kw3pw4")
    right = command(*line, *cases, plugins=["transform"])
    assert right.code == 0, right.out
    assert {(row["tier"], row["status"]) for row in right.json["rows"]} == {
        ("gauge", "passed"), ("relations", "passed"),
    }  # fmt: skip
    assert all(1 < row["bound_over_gamma"] < 1000 for row in right.json["rows"] if row["tier"] == "gauge")
    source = Path(__file__).with_name("plugins").joinpath("transform", "transform_conv.py").read_text(encoding="utf-8")
    changed = write_plugin("transform", source.replace("Fraction(256, 225)", "Fraction(25601, 22500)"))
    wrong = command(*line, *cases, plugins=[changed])
    assert wrong.code == 1
    assert all(row["status"] == "failed" for row in wrong.json["rows"] if row["tier"] == "gauge")


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
