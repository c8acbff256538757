"""Whatever is legal is computed right, and whatever is not is refused, as far as chance can tell.

`pytest --hypothesis-profile=long` gives chance more time.
"""

import json
from contextlib import suppress

import numpy as np
import pytest
from convback_tools.conformance.layouts import Layout, memory, unwritten, written_between
from convback_tools.verification import case_files
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from rules import RULES, broken
from strategies import calls, layers

import convback
from convback import ConvbackError, ConvGeometry, Gradients, ParameterError, UnsupportedProblem
from convback.contract import OPS

few = settings(max_examples=settings.default.max_examples // 10)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """The layers are tiny: several threads would mostly wait for one another."""
    monkeypatch.setattr("convback.threads._chosen", 1)


def run(call, layer, operands, outs, backend):
    """The results of a call by their names."""
    arguments = {**operands, **({} if call.function == "db" else layer.parameters)}
    if call.function in ("dx", "dw"):
        shape = f"{call.function[1]}_shape"
        arguments[shape] = getattr(layer.geom, shape)
    if call.function == "backward":
        arguments |= {"need": tuple(outs), "out": Gradients(**outs)}
    else:
        (arguments["out"],) = outs.values()
    try:
        results = getattr(convback, call.function)(**arguments, backend=backend)
    except UnsupportedProblem:
        reject()
    return results._asdict() if call.function == "backward" else dict.fromkeys(outs, results)


def check(call, layer, backend):
    operands = {name: layout and layout(layer.arrays[name]) for name, layout in call.operands.items()}
    before = {name: memory(a).tobytes() for name, a in operands.items() if a is not None}
    arrays = {**layer.arrays, **{name: operands[name].astype(layer.dtype) for name in before}}
    right = {op: layer.right(op, arrays, bias="b" in before) for op in call.outs}
    outs = {op: layout and unwritten(layout, right[op]) for op, layout in call.outs.items()}
    results = run(call, layer, operands, outs, backend)
    assert {name: memory(operands[name]).tobytes() for name in before} == before
    for op, out in outs.items():
        if out is None:
            assert_array_equal(results[op], right[op], strict=True)
        else:
            assert results[op] is out
            np.testing.assert_array_equal(np.asarray(out), right[op])
            assert not written_between(out)


def test_whatever_is_legal_is_computed_right(backend, examples):
    """In one dtype and then the other: what is remembered of a problem must not reach its twin."""

    @examples
    @given(layers(), calls())
    def holds(layer, call):
        check(call, layer, backend)
        check(call, layer.in_other_dtype(), backend)

    holds()


GEOMETRIC = ("stride", "padding", "dilation", "groups")
OPERANDS = {
    "conv": ("x", "w", "b"), "dx": ("dy", "w", "x_shape"), "dw": ("dy", "x", "w_shape"), "backward": ("dy", "x", "w"),
    "ConvGeometry": ("x_shape", "w_shape"),
}  # fmt: skip


@pytest.mark.parametrize("rule", RULES)
def test_a_single_broken_rule_is_refused_before_anything_is_written(rule):
    @few
    @given(broken(rule))
    def holds(case):
        layer, wrong = case
        arrays = {**layer.arrays, **{name: value for name, value in wrong.items() if name in layer.arrays}}
        before = {name: a.tobytes() for name, a in arrays.items()}
        y, dx, dw, db = (unwritten(Layout(), layer.right(op, layer.arrays)) for op in OPS)
        outs = {"conv": y, "dx": dx, "dw": dw, "backward": Gradients(dx, dw, db)}
        for function, names in OPERANDS.items():
            arguments = {name: arrays.get(name, getattr(layer.geom, name, None)) for name in (*names, *GEOMETRIC)}
            if function in outs:
                arguments |= {"mode": layer.parameters["mode"], "out": outs[function]}
            if wrong.keys() & arguments.keys():
                arguments |= {name: value for name, value in wrong.items() if name in arguments}
                with pytest.raises(ConvbackError) as caught:
                    getattr(convback, function)(**arguments)
                assert type(caught.value) is RULES[rule][0]
        assert {name: a.tobytes() for name, a in arrays.items()} == before
        assert all((memory(out) == 255).all() for out in (y, dx, dw, db))

    holds()


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.complex_numbers() | st.text() | st.binary()
    | st.sampled_from([np.int8(3), np.float64(1), np.True_, np.array(2), np.arange(3), np.zeros((2, 0)), {1}]),
    lambda junk: st.lists(junk) | st.tuples(junk, junk) | st.dictionaries(st.text(), junk),
    max_leaves=5,
)  # fmt: skip


@given(st.lists(JUNK | st.lists(st.integers(0, 9), max_size=5), min_size=2, max_size=6))
def test_any_arguments_make_a_geometry_or_an_error_of_our_own(arguments):
    with suppress(ConvbackError):
        ConvGeometry(*arguments)


@given(st.dictionaries(st.sampled_from([*GEOMETRIC, "mode", "accuracy", "backend", "need", "out"]), JUNK, max_size=3))
def test_any_parameters_make_gradients_or_an_error_of_our_own(junk):
    x, w = np.ones((1, 2, 4, 5), "f4"), np.ones((2, 2, 3, 2), "f4")
    dy = np.ones((1, 2, 2, 4), "f4")
    try:
        macs = ConvGeometry(x.shape, w.shape, **{name: junk[name] for name in GEOMETRIC if name in junk}).macs
    except ConvbackError:
        macs = 0
    if macs < 10**6:
        with suppress(ConvbackError):
            convback.backward(dy, x, w, **junk)


@st.composite
def views(draw, memory, shape, unit):
    """Views, as float32 of this shape, of a piece of memory, with any strides and offset in units of so many bytes."""
    strides = [unit * draw(st.integers(-40 // unit, 40 // unit)) for _ in shape]
    reaches = [stride * (extent - 1) for stride, extent in zip(strides, shape, strict=True)]
    first = -sum(reach for reach in reaches if reach < 0)
    last = memory.nbytes - 4 - sum(reach for reach in reaches if reach > 0)
    return np.ndarray(shape, "f4", memory, unit * draw(st.integers(first // unit, last // unit)), strides)


def addresses(view):
    """Of every byte of every element."""
    starts = np.tensordot(view.strides, np.indices(view.shape), 1) + view.ctypes.data
    return np.add.outer(starts, range(view.itemsize)).ravel().tolist()


@given(st.tuples(*[st.integers(1, 3)] * 3), st.data())
def test_out_is_refused_exactly_where_elements_meet(shape, data):
    memory = np.arange(100, dtype="f4")
    x = data.draw(views(memory, (shape[0], 1, shape[2]), unit=4))
    out = data.draw(views(memory, shape, unit=data.draw(st.sampled_from([4, 1]))))
    w = np.arange(1, shape[1] + 1, dtype="f4").reshape(-1, 1, 1)
    y, before, its = x * w[:, 0], memory.tobytes(), addresses(out)
    if len(set(its)) < len(its) or set(its) & set(addresses(x)):
        with pytest.raises(ParameterError):
            convback.conv(x, w, out=out)
    else:
        held = out.copy()
        assert_array_equal(convback.conv(x, w, out=out), y)
        out[...] = held
    assert memory.tobytes() == before


CASE = {"id": "P1", "name": "a", "n": 2, "c": 4, "f": 6, "groups": 2, "spatial_in": [9, 8], "kernel": [3, 2],
        "stride": [2, 1], "pad": [[1, 0], [0, 1]], "dilation": 1, "out": [4, 8], "expect": "ok"}  # fmt: skip
# Published answers of both forms.
ANSWERS = [
    {"source": "s", "output": "y", "x_shape": [1, 1, 2], "w_shape": [1, 1, 1], "stride": 1, "pad": 0, "dilation": 1,
     "groups": 1, "x": [1, 2], "w": [0.5], "expected_broadcast": [[[0.5, 1]]]},
    {"name": "a", "output": "dw", "data": "1..n", "x_nhwc": [1, 2, 2, 1], "w_hwio": [2, 1, 1, 2], "dy": [[1, 2, 3, 4]],
     "expected_row_major_tf_layout": [1, 2, 3.5, 4]},
]  # fmt: skip
LONG = ["9" * 5000, "1" + "0" * 400, "[" * 500 + "]" * 500, "[" * 10**5]
HOSTILE = ["1e999", "-1e999", "NaN", "00", "{}", "[]", r'"\ud800"', *LONG]


def values():
    leaves = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5)
    anything = st.recursive(leaves, lambda v: st.lists(v) | st.dictionaries(st.text(max_size=3), v), max_leaves=8)
    return (anything | st.lists(st.integers(0, 2**40), max_size=5)).map(json.dumps) | st.sampled_from(HOSTILE)


@st.composite
def objects(draw, entry):
    """JSON of an object with a member missing, and some twice there, or with values of any kind."""
    missing = draw(st.none() | st.sampled_from(list(entry)))
    members = [(name, json.dumps(value)) for name, value in entry.items() if name != missing]
    changed = draw(st.lists(st.tuples(st.sampled_from([*entry, "data", "expect"]), values()), max_size=2))
    return "{" + ", ".join(f'"{name}": {value}' for name, value in members + changed) + "}"


def texts():
    words = st.text('gmbicohwkspdqn0123456789_#"', max_size=20) | st.sampled_from(["ic3iw9oc2kw3", "ic" + "9" * 5000])
    lines = st.lists(words | objects(CASE), max_size=3).map("\n".join)
    answers = st.lists(objects(ANSWERS[0]) | objects(ANSWERS[1]) | values(), max_size=2).map(",".join)
    return lines | answers.map("[{}]".format) | st.text()


def test_any_file_is_read_or_refused(tmp_path):
    path = tmp_path / "file"

    @given(texts().map(lambda text: text.encode("utf-8", "surrogatepass")) | st.binary())
    def holds(content):
        path.write_bytes(content)
        with suppress(ParameterError):
            assert case_files.read(path, ("float32",))

    holds()
