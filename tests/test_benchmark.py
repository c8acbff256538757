"""`bench` verifies first, takes turns, and reports what it measured."""

from itertools import product

import numpy as np
import pytest
from convback_tools import suites
from convback_tools.benchmark import timing
from convback_tools.benchmark.contestants import PUBLIC, admitted
from convback_tools.benchmark.problem import OPS, Problem
from convback_tools.benchmark.rows import Row
from convback_tools.benchmark.summary import summaries, vs_baseline
from convback_tools.benchmark.timing import time_interleaved

import convback


class Clock:
    """A clock that only the contestants move."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def contestant(self, name, seconds, log):
        def call():
            self.now += seconds
            log.append(name)

        return call


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(timing, "perf_counter", clock)
    monkeypatch.setattr(timing, "sleep", lambda seconds: None)
    return clock


def test_measurements_are_interleaved_and_shuffled(clock):
    log = []
    contestants = {name: clock.contestant(name, 0.03, log) for name in "abc"}
    times = time_interleaved(contestants, budget=10, rounds=20, seed=1)
    assert all(measured == pytest.approx([0.03] * 20) for measured in times.values())
    rounds = ["".join(log[i : i + 3]) for i in range(len(log) - 60, len(log), 3)]
    assert {"".join(sorted(order)) for order in rounds} == {"abc"}
    assert len(set(rounds)) > 3


def test_short_calls_are_repeated_within_a_measurement(clock):
    log = []
    times = time_interleaved({"a": clock.contestant("a", 1e-5, log)}, budget=10, rounds=2, seed=0)
    assert times["a"] == pytest.approx([1e-5, 1e-5])
    assert len(log) >= 2 * timing.SHORTEST_MEASUREMENT / 1e-5


def test_calls_are_made_for_a_while_before_they_are_measured_as_threads_may_begin_late(clock):
    log = []
    seconds = 0.7 * timing.WARM_UP
    times = time_interleaved({"a": clock.contestant("a", seconds, log)}, budget=10, rounds=5, seed=0)
    assert times["a"] == pytest.approx([seconds] * 5)
    assert len(log) == 1 + (1 + 5) * 3  # once to see whether it is short, then each time two calls and the measured one


def test_a_long_call_is_measured_at_least_once_and_the_budget_ends_it(clock):
    log = []
    times = time_interleaved({"a": clock.contestant("a", 5, log)}, budget=1, rounds=30, seed=0)
    assert times["a"] == [5]
    assert log == ["a"]
    assert time_interleaved({}, budget=1, rounds=30, seed=0) == {}


def test_a_slow_contestant_does_not_cost_a_fast_one_its_measurements(clock):
    contestants = {"slow": clock.contestant("slow", 50, []), "fast": clock.contestant("fast", 0.1, [])}
    times = time_interleaved(contestants, budget=1, rounds=30, seed=0)
    assert len(times["slow"]) == 1
    assert len(times["fast"]) > 5


def test_rows(command):
    line = ("bench", "-b", "naive", "-b", "einsum", "--op", "dx", "--op", "backward", "--op", "db", "--seconds", "0.01")
    result = command(*line, "--threads", "1", "--baseline", "naive", "--format", "json")
    assert result.code == 0, result.err
    rows = result.json["rows"]
    assert [(row["op"], row["backend"]) for row in rows] == [
        (op, backend) for op in ("dx", "backward", "db") for backend in ("naive", "einsum")
    ]
    assert set(rows[0]) == set(Row.__dataclass_fields__)
    for row in rows:
        assert (row["status"], row["threads"], row["accuracy"], row["dtype"]) == ("timed", 1, "fast", "float32")
        assert 0 < row["seconds_min"] <= row["seconds_median"]
        assert 0 <= row["max_relative_error"] < 1e-5
        macs = {"dx": 5184, "backward": 2 * 5184, "db": 144 / 2}[row["op"]]
        assert row["gflops"] == pytest.approx(2 * macs / row["seconds_min"] / 1e9)
    naive, einsum = rows[:2]
    assert naive["ratio_to_baseline"] == 1
    assert einsum["ratio_to_baseline"] == pytest.approx(naive["seconds_min"] / einsum["seconds_min"])


def test_wrong_results_are_not_timed(command):
    result = command("bench", "-b", "liar", "-b", "naive", "--seconds", "0", "--format", "json", plugins=["liar"])
    assert result.code == 1
    rows = {(row["backend"], row["op"]): row for row in result.json["rows"]}
    assert rows["liar", "dw"]["status"] == "wrong"
    assert rows["liar", "dw"]["seconds_min"] is None
    assert rows["liar", "dx"]["status"] == "timed"


# A backend that computes by another one, and offers variants: right ones, slow and swift, a wrong one, a failing one.
RIVAL = """
import time
import convback
from convback_einsum import CONTRACT, supports, y, dx, dw, db

def variants(op, geom, operands):
    layer = dict(stride=geom.stride, padding=geom.padding, dilation=geom.dilation, groups=geom.groups, backend="rival")

    def right():
        if op == "db":
            return convback.db(*operands, backend="rival")
        if op == "backward":
            return convback.backward(*operands, **layer)
        shape = {"dx": (geom.x_shape,), "dw": (geom.w_shape,), "y": ()}[op]
        return getattr(convback, "conv" if op == "y" else op)(*operands, *shape, **layer)

    def slow():
        time.sleep(0.05)
        return right()

    answer = right()
    for array in answer if op == "backward" else [answer]:
        array += WRONG

    return {"slow": slow, "wrong": lambda: answer, "failing": lambda: 1 / 0, "right": right, **MORE}
"""


@pytest.fixture
def rival(write_plugin, command):
    """Run `bench --vs rival` on the smallest suite, in JSON."""

    def run(*arguments, wrong="1", more="{}", code=0, style="json"):
        folder = write_plugin("rival", RIVAL.replace("WRONG", wrong).replace("MORE", more))
        line = ("bench", "--vs", "rival", "--seconds", "0", "--quiet", "--format", style, *arguments)
        result = command(*line, plugins=[folder])
        assert result.code == code, result.out + result.err
        return result

    return run


def test_the_baseline_is_the_fastest_variant_that_is_right(rival):
    ops = [argument for op in OPS for argument in ("--op", op)]
    rows = rival("-b", "einsum", *ops).json["rows"]
    assert [(row["op"], row["backend"]) for row in rows] == [(op, name) for op in OPS for name in ("rival", "einsum")]
    for row in rows:
        assert (row["status"], row["baseline"]) == ("timed", "rival")
        if row["backend"] == "rival":
            assert row["ratio_to_baseline"] == 1
            assert row["reason"].startswith("right; wrong: ") and "elements are wrong" in row["reason"]
            assert "failing: ZeroDivisionError: division by zero" in row["reason"]
            assert row["seconds_min"] < 0.05
        else:
            assert row["reason"] == ""


def test_without_b_auto_is_held_against_it(rival):
    report = rival("--op", "dx").json
    assert [row["backend"] for row in report["rows"]] == ["rival", "auto"]
    (line,) = report["summary"]
    assert (line["backend"], line["op"], line["dtype"], line["cases"]) == ("auto", "dx", "float32", 1)
    assert line["geometric_mean"] == pytest.approx(report["rows"][1]["ratio_to_baseline"])
    table = rival("--op", "dx", style="table").out
    assert "vs rival" in table and "rival (right; wrong: " in table
    assert "auto dx float32: geometric mean" in table and "(seed-8x8)" in table


def test_where_no_variant_is_right_none_is_timed(rival):
    more = '{"slow": lambda: answer, "right": lambda: answer}'
    row = rival("-b", "einsum", "--op", "dx", more=more, code=1).json["rows"][0]
    assert (row["backend"], row["status"], row["seconds_min"]) == ("rival", "wrong", None)
    assert "right: dx: " in row["reason"]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ('{"right": None}', "variants returned {"),
        ('{"right": lambda: "text"}', "expected float32 (4,)"),
        ('{"right": lambda: answer[:3] - 1}', "db is float32 (3,); expected float32 (4,)"),
        ('{"right": lambda: operands[0].fill(0) or answer - 1}', "changed an operand"),
    ],
)
def test_what_is_wrong_with_a_variant_is_quoted(rival, more, told):
    report = rival("-b", "einsum", "--op", "db", more=more, code=1 if "None" in more else 0).json
    assert told in report["rows"][0]["reason"]
    assert report["rows"][1]["status"] == "timed"


def test_a_variant_gives_as_many_gradients_as_it_is_asked_for(rival):
    row = rival("--op", "backward", more='{"right": lambda: slow()[:2]}').json["rows"][0]
    assert "right: ValueError" in row["reason"]


def test_a_baseline_without_variants_is_timed_as_it_is(command):
    result = command("bench", "--vs", "naive", "-b", "einsum", "--seconds", "0", "--format", "json")
    assert result.code == 0, result.err
    assert [(row["backend"], row["reason"]) for row in result.json["rows"][:2]] == [("naive", ""), ("einsum", "")]


def test_variants_are_right(backend, dtype):
    if not hasattr(convback.get_backend(backend), "variants"):
        pytest.skip("it has none")
    for case, op in product(suites.suite("quick"), OPS):
        contestant = admitted(backend, Problem(op, case.geom, dtype), best_form=True, patient=True)
        if contestant.status != "unsupported":
            assert (contestant.status, contestant.reason) == ("timed", ""), (case, op)
            assert case.geom.is_empty or PUBLIC not in contestant.calls


def test_all_parts_of_a_problem_share_operands(case, dtype):
    """And integers are small enough for each of them."""
    problem = Problem("backward", case.geom, dtype)
    for challenges in (problem.real, problem.exact):
        dx, dw, db = (challenge.operands for challenge in challenges)
        assert np.array_equal(dx[0], dw[0]) and np.array_equal(dx[0], db[0])
        assert [operand.shape for operand in problem.operands(challenges)] == [
            case.geom.y_shape, case.geom.x_shape, case.geom.w_shape,
        ]  # fmt: skip


def row(case, ratio, backend="mine", op="dx"):
    return Row(case, op, backend, "float32", 1, "fast", "timed", "base", ratio_to_baseline=ratio)


def test_summary():
    rows = [row("a", 2.0), row("a", 1.0, "base"), row("b", 0.5), row("c", 8.0), row("d", None), row("a", 3.0, op="dw")]
    dx, dw = summaries(rows, vs_baseline)
    assert (dx.op, dx.cases, dx.smallest, dx.smallest_case, dx.below_1) == ("dx", 3, 0.5, "b", 1)
    assert dx.geometric_mean == pytest.approx(2)
    assert (dw.op, dw.cases, dw.smallest, dw.below_1) == ("dw", 1, 3, 0)
    assert str(dx) == "mine dx float32: geometric mean 2 of 3 cases, smallest 0.5 (b), 1 below 1"
