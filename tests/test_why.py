"""`convback backends --why` tells whom `auto` chooses, and what it knows of every candidate."""

import numpy as np
import pytest
from convback_tools import suites
from convback_tools.inventory.why import Reason

import convback

WHY = ("backends", "--why", "seed-8x8", "--format", "json")


@pytest.fixture
def env(tmp_path):
    return {"CONVBACK_CACHE": str(tmp_path), "CONVBACK_NUM_THREADS": "1"}


def rows_of(result, op="dx", dtype="float32"):
    assert (result.code, "Traceback" in result.err) == (0, False), result.err
    return [row for row in result.json["rows"] if (row["op"], row["dtype"]) == (op, dtype)]


def test_it_says_what_auto_does(command, env):
    result = command(*WHY, "--why", "g4mb2ic16ih20kh3oc16ph1", env=env)
    rows = result.json["rows"]
    assert set(rows[0]) == set(Reason.__dataclass_fields__)
    auto = convback.get_backend("auto")
    for case in (suites.case("seed-8x8"), suites.case("g4mb2ic16ih20kh3oc16ph1")):
        for op in ("y", "dx", "dw"):
            for dtype in ("float32", "float64"):
                told = [row for row in rows_of(result, op, dtype) if row["case"] == case.name]
                assert {row["backend"] for row in told} == {
                    c.backend for c in auto.candidates(op, case.geom, np.dtype(dtype))
                }
                assert [row["verdict"] for row in told].count("chosen") == 1
                assert told[0]["verdict"] == "chosen"
                usable = [row["seconds"] for row in told if row["verdict"] != "out"]
                assert usable == sorted(usable)
                for row in told:
                    assert (row["basis"], bool(row["reason"])) == ("predicted", row["verdict"] == "out")
    assert {row["backend"] for row in rows if row["verdict"] == "out"} == {"grouped", "depthwise", "winograd"}


def test_what_was_tuned_is_said_to_be(command, env, python):
    code = """
from convback import ConvGeometry, choices
geom = ConvGeometry((1, 4, 8, 8), (4, 4, 3, 3))
choices.remember(choices.Problem("dx", geom, "float32", 1), {"naive": 1e-6, "grouped": 1e-7})
"""
    assert python(code, env=env).code == 0
    result = command(*WHY, env=env)
    chosen, *others = rows_of(result)
    assert [chosen[key] for key in ("backend", "seconds", "basis")] == ["naive", 1e-6, "tuned on this machine"]
    assert [row["basis"] for row in others if row["backend"] != "grouped"] == ["predicted"] * (len(others) - 1)
    (grouped,) = (row for row in others if row["backend"] == "grouped")
    assert (grouped["verdict"], grouped["basis"]) == ("out", "tuned on this machine")
    assert {row["basis"] for row in rows_of(result, "dw")} == {"predicted"}
    table = command("backends", "--why", "seed-8x8", env=env).out
    assert "tuned on this machine" in table
    assert "us (predicted)" in table
    assert "out: grouped seed-8x8: it computes several groups at once" in table


def test_strangers_of_which_nothing_is_known_come_first(command, env):
    result = command(*WHY, plugins=["stranger"], env={**env, "CONVBACK_AUTO": "stranger"})
    chosen, *_ = rows_of(result)
    assert [chosen[key] for key in ("backend", "seconds", "basis")] == ["stranger", None, None]
    (out,) = (row for row in rows_of(result, "y") if row["backend"] == "stranger")
    assert (out["verdict"], out["reason"]) == ("out", "it has no forward pass")


@pytest.mark.parametrize(
    ("word", "told"), [("nonsense", "'nonsense'"), ("resnet50-conv", "Did you mean 'resnet50-conv1'?"), ("", "''")]
)
def test_wrong_usage(command, word, told):
    result = command("backends", "--why", word)
    assert (result.code, "Traceback" in result.err) == (2, False)
    assert told in result.err
