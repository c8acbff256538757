"""Suites of others: what a file says is what is verified, and what it says wrong is named."""

import json
from pathlib import Path

import pytest
from convback_tools.verification import case_files
from convback_tools.verification.refusals import Refusal

from convback import ConvGeometry, ParameterError

HERE = Path(__file__).parent
SHARED = HERE.parents[1] / "shared" / "data"
CASE = {"name": "a", "n": 1, "c": 2, "f": 4, "groups": 2, "spatial_in": [5], "kernel": [3], "pad": [[1, 0]]}
ANSWER = {"output": "y", "data": "ones", "x_shape": [1, 1, 2], "w_shape": [1, 1, 1], "expected_broadcast": 1}


def read(tmp_path, text):
    path = tmp_path / "file"
    path.write_text(text, encoding="utf-8")
    return case_files.read(path, ("float32", "float64"))


def test_words(tmp_path):
    words = "# layers\nic3iw9oc2kw3\n\nseed-8x8  # by name\ng2ic4ih5oc4kh3\n"
    assert [case.name for case in read(tmp_path, words)] == [
        "g1mb2ic3iw9oc2kw3sw1pw0dw0", "seed-8x8", "g2mb2ic4ih5iw5oc4kh3kw3sh1sw1ph0pw0dh0dw0",
    ]  # fmt: skip


def test_cases(tmp_path):
    lines = [CASE, {**CASE, "stride": [2], "dilation": 2, "out": [1], "id": "P7", "expect": "ok", "why": "other"}]
    first, second = read(tmp_path, "\n".join(map(json.dumps, lines)))
    assert (first.name, first.geom) == ("a", ConvGeometry((1, 2, 5), (4, 1, 3), 1, ((1, 0),), 1, 2))
    assert (second.name, second.geom) == ("P7 a", ConvGeometry((1, 2, 5), (4, 1, 3), 2, ((1, 0),), 2, 2))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"stride": [0]}, "ParameterError: stride[0] is 0"),
        ({"groups": 0}, "ParameterError: groups is 0"),
        ({"groups": 3}, "ShapeError: groups=3 does not divide"),
        ({"pad": [[-1, 0]]}, "ParameterError: padding[0][0] is -1"),
        ({"kernel": [9]}, "ShapeError: spatial axis 0: the kernel covers 9"),
        ({"kernel": [2**32]}, "ShapeError"),
        ({"out": [7]}, "ShapeError: dy has shape (1, 4, 7)"),
        ({"out": [4]}, "ShapeError: dy has shape (1, 4, 4)"),  # an x larger by the stride has no such dy
    ],
)
def test_what_must_be_refused_is_refused_by_name(tmp_path, change, told):
    (refusal,) = read(tmp_path, json.dumps({**CASE, **change, "expect": "error"}))
    row = refusal.row()
    assert (row.status, row.tier, row.backend) == ("passed", "refusal", "(core)")
    assert told in row.reason


def test_what_is_accepted_in_place_of_refused_fails(tmp_path):
    (refusal,) = read(tmp_path, json.dumps({**CASE, "expect": "error"}))
    assert refusal.row().status == "failed"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "holds no case"),
        ("ic3iw9oc2kw3\nnonsense", "line 2: problem 'nonsense'"),
        ("{", "line 1: this is not JSON"),
        ("[", "is not JSON"),
        ("[3]", "entry 1"),
        (json.dumps({"name": "x", "c": 2}), "'n', 'f', 'spatial_in', 'kernel' missing"),
        (json.dumps({**CASE, "expect": "maybe"}), "expect is 'maybe'; expected one of ok, empty, error"),
        (json.dumps({**CASE, "out": [9]}), "out is [9], but its other numbers give [4]"),
        (json.dumps({**CASE, "stride": 0}), "line 1: stride is 0"),
        (json.dumps({**CASE, "expect": "empty"}), "is not empty"),
        (json.dumps({**CASE, "c": "2"}), "c is '2'; expected an integer"),
        (json.dumps({**CASE, "kernel": 3}), "kernel is 3; expected an array"),
        (json.dumps([{"output": "dx", "x_shape": [1, 1, 3]}]), "entry 1: 'w_shape' is missing"),
        (json.dumps([{**ANSWER, "output": "dz"}]), "output is 'dz'; expected one of y, dx, dw, db"),
        (json.dumps([{**ANSWER, "x_nhwc": [], "w_hwio": []}]), "x_shape is ()"),
        (json.dumps([{**ANSWER, "x_shape": [1, 1, 2**40]}]), "its arrays would take 8796093022212 bytes"),
        (json.dumps([{**ANSWER, "x": [10**400, 1]}]), "too large"),
    ],
)
def test_what_cannot_be_understood_is_named(tmp_path, text, told):
    with pytest.raises(ParameterError) as error:
        read(tmp_path, text)
    assert told in str(error.value)
    assert "file'" in str(error.value)


def test_the_command_refuses_them_as_wrong_usage(command, tmp_path):
    (tmp_path / "bad").write_text("nonsense")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name, told in (("bad", "line 1"), ("binary", "cannot be read"), ("absent", "does not exist")):
        result = command("verify", "--cases", str(tmp_path / name))
        assert (result.code, "Traceback" in result.err) == (2, False)
        assert told in result.err


def test_a_file_is_verified_as_it_stands(command, tmp_path):
    lines = [CASE, {**CASE, "n": 0, "expect": "empty"}, {**CASE, "stride": [0], "expect": "error"}]
    (tmp_path / "suite.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (tmp_path / "words.txt").write_text("ic3iw9oc2kw3\n")
    files = ("--cases", str(tmp_path / "suite.jsonl"), "--cases", str(tmp_path / "words.txt"))
    result = command("verify", "-b", "naive", *files, "--format", "json")
    assert result.code == 0, result.out
    assert {row["case"] for row in result.json["rows"]} == {"a", "g1mb2ic3iw9oc2kw3sw1pw0dw0"}
    assert result.json["summary"]["passed"] == 3 * 16 + 1
    assert "suite.jsonl, words.txt" in command("verify", "-b", "naive", *files).out


def test_published_answers_hold_for_every_backend(command):
    """29 numbers that projects published in their tests and bug reports, with the operands they are of."""
    result = command("verify", "--cases", str(HERE / "published_answers.json"), "--format", "json", timeout=300)
    rows = [row for row in result.json["rows"] if row["status"] != "unavailable"]
    specialists = {row["backend"] for row in rows if row["status"] == "unsupported"}
    assert result.code == 0, result.out
    assert {row["status"] for row in rows} == {"passed", "unsupported"}
    for backend in {row["backend"] for row in rows} - specialists:
        assert len({row["case"] for row in rows if row["backend"] == backend}) == 29


def test_a_wrong_published_answer_fails(command, tmp_path):
    entries = json.loads((HERE / "published_answers.json").read_text(encoding="utf-8"))
    for entry in entries:
        key = "expected_broadcast" if "expected_broadcast" in entry else "expected_row_major_tf_layout"
        numbers = entry[key]
        while isinstance(numbers[-1], list):
            numbers = numbers[-1]
        numbers[-1] += 1e-3 if isinstance(numbers[-1], float) else 1
    (tmp_path / "wrong.json").write_text(json.dumps(entries))
    result = command("verify", "-b", "naive", "--cases", str(tmp_path / "wrong.json"), "--format", "json")
    assert result.code == 1
    assert {row["status"] for row in result.json["rows"]} == {"failed"}


@pytest.mark.skipif(not SHARED.is_dir(), reason="the cases of other projects are not beside this checkout")
def test_the_cases_of_other_projects_are_read_and_those_to_refuse_are_refused():
    items = case_files.read(SHARED / "peer_cases.jsonl", ("float32",))
    refusals = [item for item in items if isinstance(item, Refusal)]
    geometries = [item.geom for item in items if not isinstance(item, Refusal)]
    assert (len(refusals), len(geometries), sum(g.is_empty for g in geometries)) == (234, 3627, 170)
    assert {refusal.row().status for refusal in refusals} == {"passed"}
