"""`bench` verifies first, takes turns, and reports what it measured."""

import pytest
from convback_tools.benchmark import timing
from convback_tools.benchmark.rows import Row
from convback_tools.benchmark.timing import time_interleaved


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
    contestants = {name: clock.contestant(name, 0.01, log) for name in "abc"}
    times = time_interleaved(contestants, budget=10, rounds=20, seed=1)
    assert all(measured == pytest.approx([0.01] * 20) for measured in times.values())
    rounds = ["".join(log[i : i + 3]) for i in range(len(log) - 60, len(log), 3)]
    assert {"".join(sorted(order)) for order in rounds} == {"abc"}
    assert len(set(rounds)) > 3


def test_short_calls_are_repeated_within_a_measurement(clock):
    log = []
    times = time_interleaved({"a": clock.contestant("a", 1e-5, log)}, budget=10, rounds=2, seed=0)
    assert times["a"] == pytest.approx([1e-5, 1e-5])
    assert len(log) >= 2 * timing.SHORTEST_MEASUREMENT / 1e-5


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
