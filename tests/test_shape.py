"""`convback shape`: shapes either way."""

import csv
import io
import json
import re

import numpy as np
import pytest
from convback_tools import cli, suites
from convback_tools.shapes import calculator, fitting, inverse
from convback_tools.shapes.words import LIBRARIES
from convback_tools.verification import oracle
from uneven_layers import LAYERS, MIXED

from convback import ConvGeometry, ParameterError, ShapeError


@pytest.fixture(params=LAYERS)
def geom(request):
    return LAYERS[request.param]


def test_the_formula_and_what_no_window_reads(geom):
    read = np.broadcast_to(oracle.terms("dx", geom), (1, 1, *geom.x_spatial))[0, 0] > 0
    for at, axis in enumerate(calculator.axes(geom)):
        assert [eval(side) for side in axis.formula.split(" = ")] == [geom.y_spatial[at]] * 3
        positions = [r for start, stop in axis.unread for r in range(start, stop)]
        others = tuple(other for other in range(geom.rank) if other != at)
        assert positions == list(np.flatnonzero(~read.any(axis=others)))
        assert 0 <= axis.leftover < axis.stride


def test_leftover_rows_are_named():
    rows, columns = calculator.axes(ConvGeometry((1, 1, 10, 9), (1, 1, 3, 3), (3, 4)))
    assert (rows.leftover, rows.unread) == (1, ((9, 10),))
    assert (columns.leftover, columns.unread) == (2, ((3, 4), (7, 9)))
    (axis,) = calculator.axes(ConvGeometry((1, 1, 2**40), (1, 1, 3)))
    assert axis.unread is None  # too long to look


@pytest.mark.parametrize("padding", [0, 1, "same", "same_lower", "full", ((2, 0), (0, 1))])
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), ((3, 2), (1, 2)), (4, 3)])
def test_every_x_that_gives_a_y_is_found(stride, dilation, padding):
    y, w = (2, 6, 3, 2), (6, 2, 3, 2)
    found = inverse.origin(y, w, stride, padding, dilation, groups=2)
    for at, extents in enumerate(found.extents):
        right = {}
        for x in range(40):
            shape = list(found.default.x_shape)
            shape[2 + at] = x
            try:
                geom = ConvGeometry(shape, w, stride, padding, dilation, 2)
            except ShapeError:
                continue
            if geom.y_spatial[at] == y[2 + at]:
                right[x] = geom.padding[at]
        assert {e.x: (e.padding_lo, e.padding_hi) for e in extents} == right
        (default,) = [e for e in extents if e.default]
        whole = y[2 + at] * found.default.stride[at]  # what Keras and ONNX return for their "same"
        assert default.x == whole if padding in ("same", "same_lower") else default.output_padding == 0
    assert (found.default.y_shape, found.default.C) == (y, 4)


def test_output_padding_is_what_a_transposed_layer_takes():
    torch = pytest.importorskip("torch")
    found = inverse.origin((1, 4, 3, 2), (4, 3, 3, 2), (3, 4), (1, 0), (2, 1))
    dy, w = torch.ones(1, 4, 3, 2), torch.ones(4, 3, 3, 2)
    for h, v in [(h, v) for h in found.extents[0] for v in found.extents[1]]:
        more = (h.output_padding, v.output_padding)
        dx = torch.nn.functional.conv_transpose2d(dy, w, None, (3, 4), (1, 0), more, dilation=(2, 1))
        assert dx.shape == (1, 3, h.x, v.x)
        assert (h.default and v.default) == (more == (0, 0))


@pytest.mark.parametrize(
    ("y", "w", "parameters", "error", "told"),
    [
        ((1, 5, 3, 3), (4, 4, 3, 3), {}, ShapeError, "w (4, 4, 3, 3) has 4 filters"),
        ((1, 4, 3), (4, 4, 3, 3), {}, ShapeError, "y has shape (1, 4, 3)"),
        ((1, 4, 0, 3), (4, 4, 3, 3), {}, ShapeError, "at least 1"),
        ((1, 4, 1, 3), (4, 4, 3, 3), {"padding": 5}, ShapeError, "no x gives 1 outputs"),
        ((1, 4, 1, 3), (4, 4, 3, 3), {"stride": 5000}, ParameterError, "at most 4096"),
        ((1, 4, 1, 3), (4, 4, 3, 3), {"stride": (1, 2, 3)}, ParameterError, "stride is (1, 2, 3)"),
        ((1, 4, 1, 3), (4, 4, 3, 3), {"groups": 3}, ShapeError, "groups=3"),
    ],
)
def test_a_y_that_comes_from_nowhere_is_refused(y, w, parameters, error, told):
    with pytest.raises(error, match=re.escape(told)):
        inverse.origin(y, w, **parameters)


def test_layers_in_use_are_found_first():
    for case in suites.layers():
        geom = case.geom
        if max(geom.dilation) == 1:
            assert fitting.parameters(geom.x_shape, geom.w_shape, geom.y_shape)[0] == geom, case.name


def test_whatever_fits_gives_y():
    fits = fitting.parameters((1, 4, 8, 8), (4, 4, 3, 3), (1, 4, 4, 4))
    assert {fit.y_shape for fit in fits} == {(1, 4, 4, 4)}
    assert len(set(fits)) == len(fits)
    first = ConvGeometry((1, 4, 8, 8), (4, 4, 3, 3), 2, 1)
    assert fits[0] == first
    either = [fit.padding for fit in fitting.parameters((1, 1, 9), (1, 1, 4), (1, 1, 4), stride=2, dilation=1)]
    assert either == [((1, 1),), ((0, 1),), ((1, 0),)]
    half = [fit.padding for fit in fitting.parameters((1, 1, 12), (1, 1, 5), (1, 1, 3), stride=4, dilation=1)]
    assert half[:2] == [((2, 2),), ((1, 1),)]
    for parameters in ({"stride": 2, "padding": "same"}, {"dilation": 2, "padding": 0}, {"stride": 3}):
        fits = fitting.parameters(first.x_shape, first.w_shape, first.y_shape, **parameters)
        assert {fit.y_shape for fit in fits} == {first.y_shape}
        for fit in fits:
            given = {name: parameters.get(name, getattr(fit, name)) for name in ("stride", "padding", "dilation")}
            assert fit == ConvGeometry(first.x_shape, first.w_shape, **given)
    assert (
        fitting.parameters(MIXED.x_shape, MIXED.w_shape, MIXED.y_shape, dilation=(1, 2), stride=(2, 3))[0].groups == 2
    )
    assert fitting.parameters((1, 4, 8, 8), (4, 4, 3, 3), (1, 4, 4, 4), stride=1, dilation=1) == []


@pytest.mark.parametrize(
    ("x", "w", "y", "told"),
    [
        ((1, 4, 8, 8), (4, 4, 3, 3), (2, 4, 6, 6), "N is 2 in y and 1 in x"),
        ((1, 4, 8, 8), (4, 4, 3, 3), (1, 5, 6, 6), "F is 5 in y and 4 in w"),
        ((1, 4, 8, 8), (4, 3, 3, 3), (1, 4, 6, 6), "C is 4, in groups of 3"),
        ((1, 4, 8, 8), (3, 2, 3, 3), (1, 3, 6, 6), "share F = 3"),
        ((1, 4, 8, 8), (4, 4, 3), (1, 4, 6), "as many axes"),
        ((1, 4, 8, 8), (4, 4, 3, 3), (1, 4, 0, 6), "at least 1"),
    ],
)
def test_shapes_that_cannot_fit_are_refused(x, w, y, told):
    with pytest.raises(ShapeError, match=re.escape(told)):
        fitting.parameters(x, w, y)


# The command.


@pytest.fixture
def shape(monkeypatch, capsys):
    """Run `convback shape` in this process: exit code, stdout and stderr."""

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["convback", "shape", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return end.value.code, *capsys.readouterr()

    return run


SEED = ("--x", "1,4,8,8", "--w", "4,4,3,3")


def test_the_command_in_every_format(shape):
    line = (*SEED, "--stride", "2", "--padding", "1")
    code, table, _ = shape(*line)
    assert code == 0
    for text in ("y (1, 4, 4, 4)", "(8 + 1 + 1 - ((3 - 1) * 1 + 1)) // 2 + 1 = 7 // 2 + 1 = 4", "torch.nn.Conv2d(4, 4"):
        assert text in table
    document = json.loads(shape(*line, "--format", "json")[1])
    assert [row["y"] for row in document["rows"]] == [4, 4]
    assert document["shapes"]["dw"] == [4, 4, 3, 3]
    assert document["macs"] == 2304
    assert set(document["words"]) == set(LIBRARIES)
    assert suites.case(document["problem"]).geom == ConvGeometry((1, 4, 8, 8), (4, 4, 3, 3), 2, 1)
    rows = list(csv.DictReader(io.StringIO(shape(*line, "--format", "csv")[1])))
    assert [row["formula"] for row in rows] == [row["formula"] for row in document["rows"]]
    assert "\n\n    PyTorch     torch.nn.Conv2d(" in shape(*line, "--format", "md")[1]


def test_the_command_backwards(shape):
    _, out, _ = shape("--y", "1,4,4,4", "--w", "4,4,3,3", "--stride", "2", "--padding", "1", "--format", "json")
    document = json.loads(out)
    assert [(row["x"], row["output_padding"]) for row in document["rows"]] == [(7, 0), (8, 1)] * 2
    assert document["x"] == [1, 4, 7, 7]


def test_the_options_that_fit_are_options(shape):
    rows = json.loads(shape(*SEED, "--y", "1,4,4,4", "--format", "json")[1])["rows"]
    for row in rows:
        again = json.loads(shape(*SEED, *row["options"].split(), "--format", "json")[1])
        assert (again["shapes"]["y"], again["problem"]) == ([1, 4, 4, 4], row["word"])
    code, none, _ = shape(*SEED, "--y", "1,4,4,4", "--stride", "1", "--dilation", "1")
    assert code == 1
    assert "No stride from 1 to 8" in none


def test_words_in_full(shape):
    code, out, _ = shape("mixed-10x12", "--in", "pytorch", "--in", "cudnn", "--mode", "convolution")
    assert code == 0
    for text in ("torch.nn.grad.conv2d_input", "PRE_PADDINGS {1, 0}", "rotated by 180 degrees", "1, 4, 7, 10"):
        assert text in out
    assert "tf.nn" not in out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "expected --w with --x"),
        (("--x", "1,4,8,8"), "expected --w with --x"),
        (("--x", "1,4", "--w", "4,4,3,3"), "'1,4' is not a shape"),
        (("--x", "1,4,8,-8", "--w", "4,4,3,3"), "'1,4,8,-8' is not a shape"),
        (("--x", "1,4,2,2", "--w", "4,4,3,3"), "more than the padded input has"),
        (("resnet50-conv1", "--stride", "2"), "give either it or those"),
        (("resnet50-conv",), "Did you mean 'resnet50-conv1'?"),
        ((*SEED, "--in", "caffe"), "'caffe'"),
        ((*SEED, "--stride", "0"), "stride is 0"),
        ((*SEED, "--y", "1,4,4,4", "--stride", "0"), "stride is 0"),
    ],
)
def test_wrong_usage(shape, arguments, told):
    code, out, err = shape(*arguments)
    assert (code, out) == (2, "")
    assert told in err
