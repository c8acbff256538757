"""`convback tune` as a user runs it: what it remembers, shows and forgets, and what it says where it cannot."""

import pytest
from convback_tools import suites
from convback_tools.tuning import tune
from convback_tools.tuning.rows import Remembered, Tuned

from convback.contract import Candidate

SEED = ("--case", "seed-8x8", "--op", "dx", "--threads", "1")
CHOSEN = """
import numpy as np, convback
convback.set_num_threads(1)
geom = convback.ConvGeometry((1, 4, 8, 8), (4, 4, 3, 3))
print(convback.get_backend("auto").chosen("dx", geom, np.dtype("f4")))
"""


@pytest.fixture
def cache(tmp_path):
    return {"CONVBACK_CACHE": str(tmp_path / "cache")}


def test_what_is_tuned_is_remembered_listed_and_forgotten(command, python, cache):
    tuned = command("tune", *SEED, "--seconds", "0.01", "--format", "json", env=cache)
    assert (tuned.code, tuned.err) == (0, "")
    (row,) = tuned.json["rows"]
    assert set(row) == set(Tuned.__dataclass_fields__)
    assert (row["case"], row["op"], row["dtype"], row["threads"]) == ("seed-8x8", "dx", "float32", 1)
    assert (row["status"], row["before_seconds"] >= row["seconds"] > 0) == ("remembered", True)
    listed = command("tune", "--list", "--format", "json", env=cache).json["rows"]
    assert [set(row) for row in listed] == [set(Remembered.__dataclass_fields__)]
    assert {key: listed[0][key] for key in ("case", "op", "backend", "seconds", "counts")} == {
        "case": "seed-8x8", "op": "dx", "backend": row["backend"], "seconds": row["seconds"], "counts": True,
    }  # fmt: skip
    assert python(CHOSEN, env=cache).out == f"{row['backend']}\n"
    assert "1 choice remembered" in command("tune", "--list", env=cache).out
    assert "1 choice forgotten" in command("tune", "--forget", env=cache).err
    assert command("tune", "--list", "--format", "json", env=cache).json["rows"] == []


def test_another_process_goes_by_what_was_remembered(python, cache):
    slowest = "{'naive': 1e-9, 'gemm': 1.0}"
    code = f"from convback import choices; choices.remember(choices.Problem('dx', geom, 'float32', 1), {slowest})"
    assert python(CHOSEN.replace("print", f"{code}\nprint"), env=cache).out == "naive\n"
    assert python(CHOSEN, env=cache).out == "naive\n"
    assert python(CHOSEN.replace("set_num_threads(1)", "set_num_threads(2)"), env=cache).out != "naive\n"


def test_wrong_candidates_are_neither_timed_nor_remembered(command, cache):
    line = ("tune", "--case", "seed-8x8", "--op", "dw", "--seconds", "0", "--format", "json")
    result = command(*line, plugins=["liar"], env={**cache, "CONVBACK_AUTO": "liar"})
    assert result.code == 1
    (row,) = result.json["rows"]
    assert row["before"] == "liar"
    assert "wrong: liar" in row["reason"]
    assert row["backend"] not in (None, "liar")
    assert row["before_seconds"] is None


def test_a_problem_without_products_has_nothing_to_choose(command, cache):
    result = command("tune", "--case", "mb0ic3ih5oc4kh3", "--format", "json", env=cache)
    assert result.code == 4
    assert {(row["status"], row["backend"]) for row in result.json["rows"]} == {("undecided", None)}


def test_a_damaged_file_is_written_anew(command, python, cache, tmp_path):
    (tmp_path / "cache").mkdir()
    file = tmp_path / "cache" / "choices-1.sqlite3"
    file.write_bytes(b"damaged" * 1000)
    ignored = command("tune", "--list", env=cache)
    assert (ignored.code, "is ignored" in ignored.err, "Traceback" in ignored.err) == (0, True, False)
    tuned = command("tune", *SEED, "--seconds", "0", env=cache)
    assert (tuned.code, "is set aside" in tuned.err, "Traceback" in tuned.err) == (0, True, False)
    assert "1 choice remembered" in command("tune", "--list", env=cache).out


@pytest.mark.parametrize("arguments", [SEED, ["--forget"]])
def test_where_nothing_can_be_written(command, python, tmp_path, arguments):
    (tmp_path / "file").write_text("")
    cache = {"CONVBACK_CACHE": str(tmp_path / "file" if "--forget" not in arguments else tmp_path)}
    (tmp_path / "choices-1.sqlite3").mkdir()
    result = command("tune", *arguments, env=cache)
    assert (result.code, "Traceback" in result.err) == (2, False)
    assert cache["CONVBACK_CACHE"] in result.err
    assert "Set CONVBACK_CACHE to a folder" in result.err
    assert python(CHOSEN, env=cache).code == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--case", "nonsense"], "'nonsense'"),
        (["--suite", "huge"], "'huge'"),
        (["--op", "db"], "'db'"),
        (["--dtype", "float16"], "'float16'"),
        (["--threads", "0"], "0"),
        (["--seconds", "-1"], "-1"),
        (["--list", "--forget"], "exclude each other"),
        (["--list", "-o", "no/such/folder/file"], "no/such/folder"),
    ],
)
def test_wrong_usage(command, cache, arguments, told):
    result = command("tune", *arguments, env=cache)
    assert (result.code, "Traceback" in result.err) == (2, False)
    assert told in result.err


def test_what_is_slow_beyond_doubt_is_not_timed():
    known = [("a", 1.0, None), ("b", 9.0, None), ("c", 11.0, None), ("d", None, None), ("e", 0.01, "not this one")]
    candidates = [Candidate(name, seconds, False, refusal) for name, seconds, refusal in known]
    assert tune.worth_timing(candidates) == ["a", "b", "d"]
    assert tune.worth_timing(candidates[4:]) == []


def test_nothing_is_timed_where_nothing_can_be_remembered(monkeypatch):
    monkeypatch.setattr(tune, "_tuned", lambda *given: pytest.fail("it was timed"))
    monkeypatch.setattr("convback.choices.sqlite3", None)
    with pytest.raises(Exception, match="SQLite"):
        list(tune.tune(suites.suite("seed"), None))
