"""`bench --compare` holds a run against an earlier report."""

import json

import pytest
from convback_tools.benchmark.earlier import read
from convback_tools.benchmark.rows import Row

LINE = ("bench", "-b", "einsum", "-b", "naive", "--op", "dx", "--seconds", "0", "--threads", "1")


def report(*rows, **changed):
    return json.dumps({"schema": 1, "rows": rows, **changed})


def timed(seconds=1.0, **changed):
    keys = {"case": "seed-8x8", "op": "dx", "backend": "einsum", "dtype": "float32", "threads": 1}
    return {**keys, "seconds_min": seconds, **changed}


def test_rows_are_matched_by_all_that_names_them(tmp_path):
    (tmp_path / "old").write_text(report(timed(3.0), timed(5.0, threads=2), timed(7.0, op="dw"), timed(None, op="y")))
    earlier = read(tmp_path / "old")
    row = Row("seed-8x8", "dx", "einsum", "float32", 1, "fast", "timed", None, seconds_min=2.0)
    assert earlier.ratio(row) == 1.5
    assert earlier.ratio(Row("seed-8x8", "dw", "einsum", "float32", 1, "fast", "timed", None, seconds_min=2.0)) == 3.5
    for other in ("y", "db"):
        assert earlier.ratio(Row("seed-8x8", other, "einsum", "float32", 1, "fast", "timed", None, 2.0)) is None
    assert earlier.ratio(Row("seed-8x8", "dx", "einsum", "float32", 1, "fast", "wrong", None)) is None
    assert earlier.ratio(Row("other", "dx", "einsum", "float32", 1, "fast", "timed", None, seconds_min=2.0)) is None
    assert earlier.ratio(Row("seed-8x8", "dx", "naive", "float32", 1, "fast", "timed", None, seconds_min=2.0)) is None


def test_a_report_is_compared_with_one_of_its_own_kind(command, tmp_path):
    old = tmp_path / "old.json"
    assert command(*LINE[:3], *LINE[5:], "--format", "json", "-o", str(old)).code == 0
    result = command(*LINE, "--compare", str(old), "--format", "json")
    assert result.code == 0, result.err
    einsum, naive = result.json["rows"]
    (then,) = json.loads(old.read_text())["rows"]
    assert einsum["ratio_to_earlier"] == pytest.approx(then["seconds_min"] / einsum["seconds_min"])
    assert naive["ratio_to_earlier"] is None
    (line,) = result.json["compared"]
    assert (line["backend"], line["cases"], line["smallest_case"]) == ("einsum", 1, "seed-8x8")
    assert line["geometric_mean"] == pytest.approx(einsum["ratio_to_earlier"])
    table = command(*LINE, "--compare", str(old)).out
    assert "vs earlier" in table and "vs old.json: einsum dx float32: geometric mean" in table
    assert "vs earlier" not in command(*LINE).out


def test_a_report_of_other_rows_is_said_to_be_one(command, tmp_path):
    (tmp_path / "old.json").write_text(report(timed(threads=2)))
    result = command(*LINE, "--compare", str(tmp_path / "old.json"))
    assert (result.code, "old.json has none of these rows" in result.out) == (0, True)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "begins with ''"),
        (b"case,op\nseed,dx\n", "'case,op"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b"[" * 100_000, "no JSON"),
        (b"[1, 2]", "[1, 2]"),
        (b'{"rows": 7}', "{'rows': 7}"),
        (report(timed(), schema=2).encode(), "schema is 2"),
        (report({"tier": "exact"}).encode(), "{'tier': 'exact'}"),
        (report("text").encode(), "'text'"),
        (report(timed("fast")).encode(), "'fast'"),
        (report(timed(True)).encode(), "True"),
        (report(timed(0)).encode(), "0"),
        (report(timed(float("nan"))).encode(), "nan"),
        (report(timed(case=["a"])).encode(), "['a']"),
    ],
)
def test_what_is_no_report_is_refused_before_anything_is_timed(command, tmp_path, content, told):
    old = tmp_path / "old.json"
    old.write_bytes(content)
    result = command(*LINE, "--compare", str(old))
    assert (result.code, result.out, "Traceback" in result.err) == (2, "", False)
    assert told in result.err and str(old) in result.err


def test_a_missing_file_is_quoted(command):
    result = command(*LINE, "--compare", "no-such.json")
    assert (result.code, "no-such.json" in result.err) == (2, True)
