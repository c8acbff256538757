"""The fixture `convback_case`: right convolutions pass, wrong ones fail with what is wrong, in projects of others."""

import re
from pathlib import Path

import numpy as np
import pytest
from convback_tools import arrayfiles, diagnose, suites
from convback_tools.testing.cases import FEATURES, wanted
from convback_tools.testing.layer_case import LayerCase

import convback

GUIDE = (Path(__file__).parents[1] / "docs" / "testing.md").read_text(encoding="utf-8")
OPS = ("y", "dx", "dw", "db")


@pytest.fixture(params=suites.suite("discriminating"), ids=lambda case: case.name)
def made(request):
    """What the fixture gives a test."""
    return LayerCase(request.param)


@pytest.fixture
def pytest_of(python, tmp_path):
    """Run pytest on a file with this text, in a project of its own whose warnings are errors and markers strict."""

    def run(text, *options):
        (tmp_path / "test_mycnn.py").write_text(text, encoding="utf-8")
        (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers\nfilterwarnings = error\n")
        line = ["-p", "no:hypothesispytest", "-p", "no:cacheprovider", *options]
        return python(f"import sys, pytest; sys.exit(pytest.main({line}))", cwd=tmp_path)

    return run


def right_results(case):
    g = convback.backward(case.dy, case.x, case.w, **case.parameters)
    y = convback.conv(case.x, case.w, case.b, **case.parameters)
    return {"y": y, "dx": g.dx, "dw": g.dw, "db": g.db}


def test_the_guide_shows_what_happens(pytest_of):
    text, told = re.findall(r"^```(?:python|text)\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)
    result = pytest_of(text)
    assert result.code == 1, result.out + result.err
    assert told in result.out
    assert "3 failed" in result.out
    mended = text.replace("] = np.einsum", "] += np.einsum")
    assert mended != text
    result = pytest_of(mended)
    assert result.code == 0, result.out + result.err
    assert "3 passed" in result.out


PROJECT = """
import convback, numpy as np, pytest

def test_default(convback_case):
    c = convback_case
    c.check(dx=convback.dx(c.dy, c.w, c.x.shape, **c.parameters))

@pytest.mark.convback(features=(), dtype="float64", suite="quick")
def test_plain(convback_case):
    c = convback_case
    assert (c.groups, {*c.stride, *c.dilation}, {p for pair in c.padding for p in pair}) == (1, {1}, {0})
    assert c.x.dtype == np.float64
    c.check(y=convback.conv(c.x, c.w, c.b), db=convback.db(c.dy))

class TestIt:
    @pytest.mark.convback(cases=["seed-8x8", "ic3iw11oc5kw4sw2"])
    def test_named(self, convback_case, other):
        convback_case.x[...] = 0
        assert convback_case.y.any()

@pytest.fixture
def other(): return 1
"""


def test_markers_and_options(pytest_of):
    result = pytest_of(PROJECT, "-v", "--convback-case", "seed-8x8", "--convback-case", 'ic2id4oc3kd2_n"cube"')
    assert result.code == 0, result.out + result.err
    ran = re.findall(r"::(\w+)\[(.*)\] PASSED", result.out)
    assert [name for test, name in ran if test == "test_default"] == ["mixed-10x12", "strided-8x8", "seed-8x8", "cube"]
    assert [name for test, name in ran if test == "test_named"] == ["seed-8x8", "g1mb2ic3iw11oc5kw4sw2pw0dw0", "cube"]
    assert len([name for test, name in ran if test == "test_plain"]) > 20


@pytest.mark.parametrize(
    ("marker", "told"),
    [
        ("feature=()", "there is no 'feature'. Did you mean 'features'?"),
        ("features=('strides',)", "feature is 'strides'. Did you mean 'stride'?"),
        ("dtype='float16'", "dtype is 'float16'"),
        ("suite='quik'", "suite is 'quik'. Did you mean 'quick'?"),
        ("cases=['seed']", "Did you mean 'seed-8x8'?"),
        ("cases=['ic1iw2oc1kw3pw1'], features=()", "every case needs others"),
    ],
)
def test_wrong_markers(marker, told):
    with pytest.raises(convback.ConvbackError, match=re.escape(told)):
        eval(f"wanted({marker}).layers()")


def test_a_wrong_marker_is_told_at_collection(pytest_of):
    text = "import pytest\n@pytest.mark.convback(dtype='float16')\ndef test_it(convback_case): pass\n"
    result = pytest_of(text)
    assert result.code == 2
    assert "of test_it: dtype is 'float16'. Did you mean 'float" in result.out


def test_right_results_pass(made):
    results = right_results(made)
    made.check(**results)
    for op in OPS:
        np.testing.assert_array_equal(getattr(made, op), results[op])
        made.check(**{op: results[op].tolist()})
        made.check(**{op: results[op].astype(np.float64)})


@pytest.mark.parametrize(("first", "last"), [(0, 1), (1, 2), (1, np.nan), (2**-20, 2**60)])
@pytest.mark.parametrize("op", OPS)
def test_wrong_numbers_are_counted_and_the_worst_is_named(made, op, first, last):
    right = getattr(made, op)
    wrong = right.astype(np.float64)
    wrong.flat[[0, -1]] += first, last
    with pytest.raises(AssertionError) as caught:
        made.check(**{op: wrong})
    place = [extent - 1 for extent in right.shape]
    told = f"{op}: {1 + (first > 0)} of {right.size} elements are wrong; furthest off is {op}{place}, "
    assert f"{told}got {wrong.flat[-1]:.17g}, expected {right.flat[-1]:.17g}\n" in str(caught.value)


def test_every_result_is_judged_and_the_first_explained(made):
    flipped = np.ascontiguousarray(made.w[..., ::-1, ::-1])
    dx = convback.dx(made.dy, flipped, made.x.shape, **made.parameters)
    with pytest.raises(AssertionError) as caught:
        made.check(dx=dx, dw=made.dw[:, :1], db=[None], y=made.y)
    message = str(caught.value)
    assert message.startswith(f"{made.name} ({made.word})\n")
    for text in ("\ndx: ", f"dw has shape {made.dw[:, :1].shape}; expected {made.dw.shape}", "db is of type list",
                 "(dx.no_rotation)", 'convback_case.save("mine.npz", dx=dx, dw=dw, db=db, y=y)'):  # fmt: skip
        assert text in message
    assert "\ny: " not in message


def test_a_changed_operand_is_a_fault(made):
    results = right_results(made)
    made.dy *= 2
    with pytest.raises(AssertionError, match="dy was changed"):
        made.check(**results)


def test_results_are_those_of_the_operands_as_they_were(made):
    right = made.dx.copy()
    made.dx[...] = 0  # nobody should
    made.check(dx=right)


def test_wrong_use_is_no_pass(made):
    for results in ({}, {"dX": made.dx}, {"dy": made.dy}):
        with pytest.raises(convback.ParameterError):
            made.check(**results)
    with pytest.raises(AssertionError, match="dx is of type NoneType"):
        made.check(dx=None)


def test_saved_cases_are_submissions(made, tmp_path):
    made.save(tmp_path / "mine.npz", dx=-made.dx)
    members = arrayfiles.read(tmp_path / "mine.npz")
    assert [f.id for f in diagnose(**members).findings] == ["any.sign"]


def test_features_are_left_out_one_by_one():
    (mixed, *_) = wanted().layers()
    assert mixed == suites.case("mixed-10x12")
    for feature in FEATURES:
        (case, *_) = wanted(features=[other for other in FEATURES if other != feature]).layers()
        assert case.name == f"mixed-10x12-without-{feature}"
        assert case.geom != mixed.geom
    (plain, *_) = wanted(features=()).layers()
    assert plain.geom == convback.ConvGeometry((3, 4, 10, 12), (6, 4, 3, 2))
